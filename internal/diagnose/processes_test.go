package diagnose_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// holders have a descriptor for each of some sockets, from 7 on, and one more of
// a socket that is none of these.
type holders struct {
	pid     uint32
	sockets []event.ID
	asked   int
}

func (h *holders) Descriptors(pid uint32, each func(event.ID, uint32)) {
	h.asked++
	if pid != h.pid {
		return
	}
	each(event.ID{NetNS: 1, Cookie: 1}, 3)
	for i := range h.sockets {
		fd := len(h.sockets) - 1 - i // in no order
		each(h.sockets[fd], uint32(7+fd))
	}
}

func holding(n int) *holders {
	h := &holders{pid: shop.PID}
	each(n, func(_ int, _, server story.Socket) []event.Event {
		h.sockets = append(h.sockets, server.ID)
		return nil
	})
	return h
}

// figuresOf returns the named figures of a finding's evidence.
func figuresOf(f *diagnose.Finding, names ...string) (found []string) {
	for _, name := range names {
		for _, v := range f.Evidence {
			if v.Name == name {
				found = append(found, fmt.Sprint(name, " ", v.List, v.Number, v.Length))
			}
		}
	}
	return found
}

// A leak names its descriptors: those of its sockets alone, the lowest first,
// and how many there are. Those of closed sockets are not among them.
func TestProcesses_Leak(t *testing.T) {
	for _, test := range []struct {
		name   string
		n      int
		closed int // of them, after 8 s
		want   []string
	}{
		{"seven", 7, 0, []string{"fds [7 8 9 10 11 12 13] 0 0s", "fd_count [] 7 0s", "oldest [] 0 8.99s"}},
		{"many", 101, 0, []string{"fds [7 8 9 10 11 12 13 14 15 16] 0 0s", "fd_count [] 101 0s", "oldest [] 0 8.99s"}},
		{"some closed", 7, 5, []string{"fds [12 13] 0 0s", "fd_count [] 2 0s", "oldest [] 0 8.94s"}},
		{"all closed before it is told", 7, 7, []string{"oldest [] 0 6.99s"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			events := leaking(test.n)
			for i, id := range holding(test.closed).sockets {
				server := story.NewSocket(id.Cookie, serverAt, fmt.Sprintf("10.0.0.%d:40000", i+1))
				events = append(events, story.By(shop, server.State(8*s, tcp.CloseWait, tcp.LastAck)))
			}
			h := holding(test.n)
			e := diagnose.New(diagnose.Options{Processes: h})
			story.Tell(events, 10*s, e.Handle)
			e.Advance(event.Time(10 * s))
			all := e.Findings()
			if len(all) != 1 {
				t.Fatalf("it finds %v", words(all))
			}
			if diff := cmp.Diff(test.want, figuresOf(&all[0], "fds", "fd_count", "oldest")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A process is looked at when a finding is told, and at no other time.
func TestProcesses_AskedSeldom(t *testing.T) {
	h := holding(23)
	e := diagnose.New(diagnose.Options{Processes: h})
	told := 0
	story.Tell(leaking(23), 30*s, func(c *conn.Change) {
		e.Handle(c)
		told += len(e.Fresh())
	})
	for at := 10 * s; at <= 30*s; at += 50 * time.Millisecond {
		e.Advance(event.Time(at))
		told += len(e.Fresh())
	}
	if told == 0 || h.asked != told {
		t.Errorf("%d findings told, %d looks at the process", told, h.asked)
	}
}

// What still tries to reach a dead peer is held by its process, too.
func TestProcesses_DeadPeer(t *testing.T) {
	h := &holders{pid: shop.PID}
	events := each(3, func(_ int, client, _ story.Socket) []event.Event {
		h.sockets = append(h.sockets, client.ID)
		return dying(client, 1*s, 6, false)
	})
	e := diagnose.New(diagnose.Options{Processes: h})
	story.Tell(events, 60*s, e.Handle)
	e.Advance(event.Time(60 * s))
	all := e.Findings()
	if len(all) != 1 {
		t.Fatalf("it finds %v", words(all))
	}
	// The first timeout is 0.2 s after the second second.
	want := []string{"fds [7 8 9] 0 0s", "fd_count [] 3 0s", "oldest [] 0 57.8s"}
	if diff := cmp.Diff(want, figuresOf(&all[0], "fds", "fd_count", "oldest")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
