//go:build linux

package probe_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// entries counts what is in the maps of these names of this process's tracer.
func entries(names ...string) (n int) {
	seen := map[ebpf.MapID]bool{} // more than one descriptor leads to it
	for _, name := range must(filepath.Glob("/proc/self/fdinfo/*")) {
		id, ok := mapID(name)
		if !ok || seen[id] {
			continue
		}
		seen[id] = true
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			continue // closed since
		}
		for _, wanted := range names {
			if info := must(m.Info()); info.Name == wanted {
				n += size(m)
			}
		}
		mustDo(m.Close())
	}
	return n
}

func size(m *ebpf.Map) (n int) {
	var key, value []byte
	for all := m.Iterate(); all.Next(&key, &value); n++ {
	}
	return n
}

func mapID(fdinfo string) (id ebpf.MapID, ok bool) {
	file, err := os.Open(fdinfo)
	if err != nil {
		return 0, false // closed since
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "map_id:"); ok {
			return ebpf.MapID(must(strconv.ParseUint(strings.TrimSpace(text), 10, 32))), true
		}
	}
	return 0, false
}

// Whatever ends a socket, the kernel side forgets it: a map that fills up would
// end the trace of what comes later.
func TestLive_Maps_AreEmptyAfterEachEnd(t *testing.T) {
	ends := map[string]func(g *ground, s side, listener, client, server int){
		"a FIN": func(g *ground, s side, _, _, server int) { closeAll(server) },
		"a RST": func(g *ground, s side, _, _, server int) {
			mustDo(unix.SetsockoptLinger(server, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
			closeAll(server)
		},
		"data": func(g *ground, s side, _, _, server int) {
			must(unix.Write(server, []byte("hello")))
			closeAll(server)
		},
		"a killer": func(g *ground, s side, listener, client, server int) {
			mustDo(s.kill(client, portOf(listener)))
			closeAll(server)
		},
		"time": func(g *ground, s side, _, _, server int) {
			g.until("its end", func() bool { return s.inState(tcp.FinWait2) == 0 })
			closeAll(server)
		},
	}
	bothSides(t, func(t *testing.T, s side) {
		var known, left map[string]int
		playOn(t, probe.Options{}, func(g *ground) {
			known, left = map[string]int{}, map[string]int{}
			g.sysctl("tcp_fin_timeout", 2)
			for name, end := range ends {
				listener, client, server := s.leaveOrphan(g)
				known[name] = entries("listeners")
				end(g, s, listener, client, server)
				g.until("the end by "+name, func() bool { return s.inState(tcp.FinWait2) == 0 && s.inState(tcp.LastAck) == 0 })
				closeAll(listener)
				left[name] = entries("half_closed", "listeners")
			}
		})
		for name := range ends {
			if known[name] != 1 || left[name] != 0 {
				t.Errorf("%s: %d listeners known, want 1; after the end %d sockets, want none", name, known[name], left[name])
			}
		}
	})
}

// With --pid the kernel side remembers whose a socket is, of the last 65,536: after
// more connections than that, which all came to nothing, the next one is whole.
func TestLive_Maps_MoreFailuresThanTheyHold(t *testing.T) {
	failures := 65536 + 1009
	if testing.Short() {
		failures = 1009
	}
	bothSides(t, func(t *testing.T, s side) {
		options := probe.Options{Filter: filter.Filter{PIDs: []uint32{uint32(os.Getpid())}}}
		events, _ := playOn(t, options, func(*ground) {
			dead, closed := s.listen(0, 8)
			closeAll(dead)
			for range failures {
				client := s.socket()
				if err := s.connect(client, closed); err != unix.ECONNREFUSED {
					panic(err)
				}
				closeAll(client)
			}
			listener, _ := s.listen(0, 8)
			client, server := s.pair(listener)
			closeAll(client)
			must(unix.Read(server, make([]byte, 1)))
			closeAll(server, listener)
		})
		refused, whole := 0, map[conn.Role]int{}
		for _, l := range livesOf(events).lives {
			switch {
			case l.conn.Listener():
			case l.conn.End == conn.EndRefused && l.conn.Err == event.ECONNREFUSED && strings.Join(l.states, " ") == "CLOSE SYN_SENT CLOSE":
				refused++
			case l.conn.Complete && l.conn.Owner.Known():
				whole[l.conn.Role]++
			}
		}
		if refused != failures || whole[conn.Client] != 1 || whole[conn.Server] != 1 {
			t.Errorf("%d refused, want %d; then %d client and %d server, want 1 each", refused, failures, whole[conn.Client], whole[conn.Server])
		}
	})
}
