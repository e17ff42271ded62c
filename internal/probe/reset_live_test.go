//go:build linux

package probe_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	flagSYN = 2
	flagPSH = 8
	flagACK = 16
)

// A resetStory ends with one RST on the wire.
type resetStory struct {
	name string
	// play returns the port that sends the RST.
	play func(g *ground) (port int)

	reason   string
	state    tcp.State
	sent     event.ResetFacts
	received event.ResetFacts // Unacked is what the receiver had under way
}

// await reads the error that a RST makes.
func await(g *ground, fd int) {
	g.until("the RST", func() bool { return must(unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)) != 0 })
}

// finishHalf shuts the sending side down, and waits for FIN_WAIT2.
func finishHalf(g *ground, fd int) {
	mustDo(unix.Shutdown(fd, unix.SHUT_WR))
	g.until("FIN_WAIT2", func() bool { return tcp.State(info(fd).State) == tcp.FinWait2 })
}

func resetStories() []resetStory {
	return []resetStory{
		{
			name: "close with data unread",
			play: func(g *ground) int {
				listener, port := listen(8)
				client, server := pair(listener)
				must(unix.Write(client, []byte("seven B")))
				must(unix.Read(server, make([]byte, 2)))
				closeAll(server)
				await(g, client)
				closeAll(client, listener)
				return port
			},
			reason: "TCP_ABORT_ON_CLOSE", state: tcp.Close,
			sent:     event.ResetFacts{Socket: true, Shutdown: 3, Unread: 5},
			received: event.ResetFacts{Socket: true},
		},
		{
			name: "SO_LINGER of 0",
			play: func(g *ground) int {
				listener, port := listen(8)
				client, server := pair(listener)
				mustDo(unix.SetsockoptLinger(server, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
				closeAll(server)
				await(g, client)
				closeAll(client, listener)
				return port
			},
			reason: "TCP_STATE", state: tcp.Close,
			sent:     event.ResetFacts{Socket: true, Shutdown: 3, Linger0: true},
			received: event.ResetFacts{Socket: true},
		},
		{
			name: "a listener closes what nobody accepted",
			play: func(g *ground) int {
				listener, port := listen(8)
				client := socket()
				mustDo(connect(client, port))
				closeAll(listener)
				await(g, client)
				closeAll(client)
				return port
			},
			reason: "TCP_STATE", state: tcp.Close,
			sent:     event.ResetFacts{Socket: true},
			received: event.ResetFacts{Socket: true},
		},
		{
			name: "closed port",
			play: func(g *ground) int {
				listener, port := listen(8)
				closeAll(listener)
				client := socket()
				if err := connect(client, port); err != unix.ECONNREFUSED {
					panic(err)
				}
				closeAll(client)
				return port
			},
			reason: "NO_SOCKET", state: tcp.Unknown,
			sent:     event.ResetFacts{Answer: true, AnsweredFlags: flagSYN},
			received: event.ResetFacts{Socket: true, Unacked: 1},
		},
		{
			name: "a negative TCP_LINGER2",
			play: func(g *ground) int {
				listener, port := listen(8)
				client, server := pair(listener)
				mustDo(unix.SetsockoptInt(server, unix.IPPROTO_TCP, unix.TCP_LINGER2, -1))
				finishHalf(g, server)
				closeAll(server)
				await(g, client)
				closeAll(client, listener)
				return port
			},
			reason: "TCP_ABORT_ON_LINGER", state: tcp.Close,
			sent:     event.ResetFacts{Socket: true, Dead: true, Shutdown: 3, Linger2: true},
			received: event.ResetFacts{Socket: true, Shutdown: 1},
		},
		{
			name: "data for a socket that was closed",
			play: func(g *ground) int {
				listener, port := listen(8)
				client, server := pair(listener)
				finishHalf(g, server)
				closeAll(server)
				must(unix.Write(client, []byte("hello")))
				await(g, client)
				closeAll(client, listener)
				return port
			},
			reason: "TCP_TIMEWAIT_SOCKET", state: tcp.FinWait2,
			sent:     event.ResetFacts{TimeWait: true, Answer: true, AnsweredBytes: 5, AnsweredFlags: flagPSH | flagACK},
			received: event.ResetFacts{Socket: true, Unacked: 5, Shutdown: 1},
		},
	}
}

// What is told of each RST, sent and received: the reason, the state and the
// facts, and nothing twice.
func TestLive_ResetFacts(t *testing.T) {
	for _, story := range resetStories() {
		t.Run(story.name, func(t *testing.T) {
			var port int
			events, _ := playOn(t, probe.Options{}, func(g *ground) { port = story.play(g) })
			var sent, received []event.Event
			for _, ev := range events {
				switch {
				case ev.Kind == event.ResetSent && ev.Local.Port() == uint16(port):
					sent = append(sent, ev)
				case ev.Kind == event.ResetReceived && ev.Remote.Port() == uint16(port):
					received = append(received, ev)
				}
			}
			if len(sent) != 1 || len(received) != 1 {
				t.Fatalf("%d RSTs sent and %d received, want 1 of each", len(sent), len(received))
			}
			if sent[0].Reason != story.reason || sent[0].Old != story.state {
				t.Errorf("reason %s in %v, want %s in %v", sent[0].Reason, sent[0].Old, story.reason, story.state)
			}
			if diff := cmp.Diff(story.sent, sent[0].Reset); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(story.received, received[0].Reset); diff != "" {
				t.Errorf("received (-want +got):\n%s", diff)
			}
		})
	}
}
