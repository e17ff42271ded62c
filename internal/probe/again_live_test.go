//go:build linux

package probe_test

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A socket whose connect() was refused may be used again. Its next connection
// has the same cookie, and another port; the kernel keeps the one before in
// inet_sport until it has found that.
func TestLive_SocketUsedAgain(t *testing.T) {
	var want []uint16
	events, _ := playOn(t, probe.Options{}, func(*ground) {
		listener, port := listen(1)
		client := socket()
		refuse := func() {
			dead, closed := listen(1)
			closeAll(dead)
			if err := connect(client, closed); err != unix.ECONNREFUSED {
				panic(err)
			}
		}
		refuse()
		refuse()
		mustDo(connect(client, port))
		want = []uint16{uint16(portOf(client))}
		closeAll(client, listener)
	})
	var got []uint16 // of the lives that were established
	tracker := conn.New(conn.Options{})
	for i := range events {
		tracker.Handle(&events[i], func(c *conn.Change) {
			if c.Kind == conn.Transition && c.Old == tcp.SynSent && c.New == tcp.Established {
				got = append(got, c.Conn.Local.Port())
			}
		})
	}
	if !slices.Equal(got, want) {
		t.Errorf("connected from port %d, seen as %d", want, got)
	}
}
