//go:build linux

package probe_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A socket's own filter drops its data, sent four times: each is told, with the
// socket, and nothing else is.
func TestLive_Drop_ByASocketsFilter(t *testing.T) {
	var cookie uint64
	var port int
	var sent int
	events, _ := playOn(t, probe.Options{}, func(g *ground) {
		listener, p := listen(8)
		client, server := pair(listener)
		port, cookie = p, cookieOf(server)
		deafen(server)
		must(unix.Write(client, []byte("hello")))
		g.until("three retransmits", func() bool { return g.counter("Tcp RetransSegs") >= 3 })
		undeafen(server)
		must(unix.Read(server, make([]byte, 16)))
		g.until("the acknowledgement", func() bool { return info(client).Unacked == 0 })
		sent = g.counter("Tcp RetransSegs") // and once more, but the last was heard
		closeAll(client, server, listener)
	})
	drops := of(events, event.Dropped)
	if len(drops) != sent {
		t.Errorf("%d drops told, want %d", len(drops), sent)
	}
	for _, ev := range drops {
		p := ev.Packet
		if ev.Reason != "SOCKET_FILTER" || ev.ID.Cookie != cookie || ev.Old != tcp.Established || ev.Local.Port() != uint16(port) {
			t.Errorf("%s in %v, cookie %x at %v", ev.Reason, ev.Old, ev.ID.Cookie, ev.Local)
		}
		if p.Where != "tcp_v4_rcv" || p.Bytes != 5 || p.Flags != flagPSH|flagACK || p.Outgoing {
			t.Errorf("%+v", p)
		}
	}
}

func cookieOf(fd int) uint64 { return must(unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)) }

// A firewall drops SYNs as they come in, and as they go out: as many are told
// as it counts.
func TestLive_Drop_ByAFirewall(t *testing.T) {
	for _, chain := range []string{"INPUT", "OUTPUT"} {
		t.Run(chain, func(t *testing.T) {
			var port, counted int
			var cookie uint64
			events, g := playOn(t, probe.Options{}, func(g *ground) {
				listener, p := listen(8)
				port = p
				iptables("-A", chain, "-p", "tcp", "--dport", strconv.Itoa(port), "-j", "DROP")
				client := socket()
				mustDo(unix.SetNonblock(client, true))
				if err := connect(client, port); err != unix.EINPROGRESS {
					panic(fmt.Sprintf("connect: %v", err))
				}
				cookie = cookieOf(client)
				g.until("a retransmit", func() bool { return packets(chain) >= 2 })
				closeAll(client, listener)
				counted = packets(chain)
			})
			drops := of(events, event.Dropped)
			if len(drops) != counted {
				t.Errorf("%d drops told, the firewall counts %d", len(drops), counted)
			}
			for _, ev := range drops {
				p := ev.Packet
				if ev.Reason != "NETFILTER_DROP" || ev.ID.NetNS != g.inode || p.Flags&flagSYN == 0 || p.Bytes != 0 {
					t.Errorf("%s in namespace %d of %+v", ev.Reason, ev.ID.NetNS, p)
				}
				out := chain == "OUTPUT"
				if p.Outgoing != out || out && (ev.ID.Cookie != cookie || ev.Old != tcp.SynSent || ev.Remote.Port() != uint16(port)) {
					t.Errorf("outgoing %v, in %v, cookie %x, want %x, to %v", p.Outgoing, ev.Old, ev.ID.Cookie, cookie, ev.Remote)
				}
				if !out && ev.Local.Port() != uint16(port) {
					t.Errorf("for port %d, want %d", ev.Local.Port(), port)
				}
			}
		})
	}
}

func iptables(args ...string) string {
	out, err := exec.Command("iptables", append([]string{"-w"}, args...)...).CombinedOutput()
	if err != nil {
		panic(fmt.Sprintf("iptables %s: %v: %s", strings.Join(args, " "), err, out))
	}
	return string(out)
}

// packets reads how many packets the chain's only rule has dropped.
func packets(chain string) int {
	for line := range strings.Lines(iptables("-L", chain, "-v", "-x", "-n")) {
		if f := strings.Fields(line); slices.Contains(f, "DROP") && len(f) > 3 && f[0] != "Chain" {
			return must(strconv.Atoi(f[0]))
		}
	}
	panic("no rule")
}
