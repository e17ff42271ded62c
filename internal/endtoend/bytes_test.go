//go:build linux

package endtoend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// A volume is what one end has carried, as its record says.
type volume struct {
	End      string
	Acked    uint64
	Received uint64
}

// volumes returns what the connection records say, by role.
func (tr *tracer) volumes() map[string][]volume {
	tr.t.Helper()
	all := map[string][]volume{}
	for text := range bytes.Lines(tr.stdout.Bytes()) {
		var l struct {
			Type, Role, End string
			Acked           *uint64 `json:"bytes_acked"`
			Received        *uint64 `json:"bytes_received"`
		}
		if err := json.Unmarshal(text, &l); err != nil {
			tr.t.Fatalf("%v: %s", err, text)
		}
		if l.Type != "connection" {
			continue
		}
		if l.Acked == nil || l.Received == nil {
			tr.t.Fatalf("no counters: %s", text)
		}
		all[l.Role] = append(all[l.Role], volume{l.End, *l.Acked, *l.Received})
	}
	return all
}

// Records count payload alone, to the byte. The kernel's own counters also
// count SYNs and FINs, at some ends and in some closes.
func TestBytes(t *testing.T) {
	for _, test := range []struct {
		name     string
		up, down int
		end      func(client, server *net.TCPConn) error
		client   string // how its connection ends: "" is TIME_WAIT, at the end of the trace
		server   string
	}{
		{"client closes", 17, 1009, func(client, server *net.TCPConn) error { return both(client, server) }, "", "fin"},
		{"server closes", 17, 1009, func(client, server *net.TCPConn) error { return both(server, client) }, "fin", ""},
		{"nothing sent", 0, 0, func(client, server *net.TCPConn) error { return both(client, server) }, "", "fin"},
		{"a million bytes", 1_000_003, 2_000_003, func(client, server *net.TCPConn) error { return both(client, server) }, "", "fin"},
		{"client resets", 17, 1009, func(client, server *net.TCPConn) error { return reset(client, server) }, "reset_sent", "reset_received"},
		{"server resets", 17, 1009, func(client, server *net.TCPConn) error { return reset(server, client) }, "reset_received", "reset_sent"},
		{"client half-closes, server resets", 17, 1009, func(client, server *net.TCPConn) error {
			if err := client.CloseWrite(); err != nil {
				return err
			}
			if err := atEnd(server); err != nil {
				return err
			}
			return reset(server, client)
		}, "reset_received", "reset_sent"},
	} {
		for _, host := range []string{"127.0.0.1", "::1"} {
			t.Run(test.name+", "+host, func(t *testing.T) {
				l := listenTCP(t, host)
				tr := start(t, nil, "conns", "-o", "json", "--open", "--port", portOf(l))
				if err := converse(l, test.up, test.down, test.end); err != nil {
					t.Fatal(err)
				}
				if status := tr.interrupt(); status != 0 {
					t.Errorf("exit status %d, want 0", status)
				}
				want := map[string][]volume{
					"client": {{test.client, uint64(test.up), uint64(test.down)}},
					"server": {{test.server, uint64(test.down), uint64(test.up)}},
				}
				if diff := cmp.Diff(want, tr.volumes()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// Two bytes go each way. In a simultaneous close the FINs cross, and each end's
// own is acknowledged in CLOSING; in a simultaneous open both ends connect, and
// have their SYNs acknowledged.
func TestBytes_Simultaneous(t *testing.T) {
	closed, timeWait := volume{"fin", 2, 2}, volume{"", 2, 2}
	for name, want := range map[string]map[string][]volume{
		"simultaneous-close": {"client": {timeWait}, "server": {timeWait}},
		"simultaneous-open":  {"client": {closed, timeWait}},
	} {
		for _, v6 := range []bool{false, true} {
			_, tr := playTraced(t, name, lab.Params{N: 1, IPv6: v6}, "conns", "-o", "json", "--open")
			if diff := cmp.Diff(want, tr.volumes()); diff != "" {
				t.Errorf("%s, IPv6 %v (-want +got):\n%s", name, v6, diff)
			}
		}
	}
}

func listenTCP(t *testing.T, host string) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

func portOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// converse makes one connection, sends up bytes to the server and then down
// bytes to the client, and ends it.
func converse(l *net.TCPListener, up, down int, end func(client, server *net.TCPConn) error) error {
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := l.AcceptTCP()
	if err != nil {
		return err
	}
	defer s.Close()
	client := c.(*net.TCPConn)
	if err := carry(client, s, up); err != nil {
		return err
	}
	if err := carry(s, client, down); err != nil {
		return err
	}
	return end(client, s)
}

// carry sends n bytes, all of which are read.
func carry(from, to *net.TCPConn, n int) error {
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(make([]byte, n))
		sent <- err
	}()
	if _, err := io.ReadFull(to, make([]byte, n)); err != nil {
		return err
	}
	return <-sent
}

// both closes one end and then, when it has seen that, the other.
func both(first, second *net.TCPConn) error {
	if err := first.Close(); err != nil {
		return err
	}
	if err := atEnd(second); err != nil {
		return err
	}
	return second.Close()
}

func atEnd(c *net.TCPConn) error {
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("read %d bytes and %v, not the end", n, err)
	}
	return nil
}

// reset closes one end with a RST, which the other reads.
func reset(first, second *net.TCPConn) error {
	if err := first.SetLinger(0); err != nil {
		return err
	}
	if err := first.Close(); err != nil {
		return err
	}
	if n, err := second.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
		return fmt.Errorf("read %d bytes and %v, not a reset", n, err)
	}
	return nil
}
