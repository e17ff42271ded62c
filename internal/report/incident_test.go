package report

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/trace"
)

const (
	us = time.Microsecond
	ms = time.Millisecond
	s  = time.Second
)

// Names meant to become markup, a script, or an attribute, and to turn the text
// around.
const (
	evilComm      = "</td><script>" // 16 bytes are all that the kernel keeps
	evilUnit      = "\"><img src=x onerror=alert(1)>.service"
	evilContainer = "<b>\u202e\x1b[31m</b>"
	evilCgroup    = "/'><svg onload=alert(2)>{{.}}/${7*7}"
)

func labeled(t event.Task, l event.Label) event.Task {
	t.Label = &l
	return t
}

var (
	nginx = labeled(story.Task(812, "nginx"), event.Label{Unit: "nginx.service", Cgroup: "/system.slice/nginx.service"})
	java  = labeled(story.Task(4194304, "java"), event.Label{Container: story.Container, Runtime: "docker"})
	curl  = story.Task(20481, "curl")
	evil  = labeled(story.Task(66, evilComm), event.Label{Unit: evilUnit, Cgroup: evilCgroup, Container: evilContainer, Runtime: "<i>"})
)

// incident is a host on which n connections live in 30 seconds: a web server
// that mostly does well, a client that does not close what its peer has closed, a
// service that refuses, and another that resets.
func incident(n int) []event.Event {
	random := rand.New(rand.NewPCG(3, 5))
	between := func(low, high time.Duration) time.Duration {
		return low + time.Duration(random.Int64N(int64(high-low)))
	}
	var all []event.Event
	add := func(parts ...any) { all = append(all, story.Join(parts...)...) }
	listener := story.NewSocket(0x10, "[::]:443", "")
	add(listener.Seen(10*ms, tcp.Listen), listener.Swept(0, 12*ms))
	for i := range n {
		at := between(100*ms, 28*s)
		rtt := between(200*us, 40*ms)
		remote := fmt.Sprintf("203.0.113.%d:%d", i%60, 20000+i%40000)
		if i%7 == 0 {
			remote = fmt.Sprintf("[2001:db8:85a3:8d3:1319:8a2e:370:%x]:%d", i%60, 20000+i%40000)
		}
		server := story.NewSocket(uint64(0x1a000+16*i), "10.0.0.1:443", remote)
		if i%7 == 0 {
			server = story.NewSocket(uint64(0x1a000+16*i), "[2001:db8:85a3::1]:443", remote)
		}
		client := story.NewSocket(uint64(0x1a008+16*i), fmt.Sprintf("10.0.0.1:%d", 32768+i%28000), "10.20.0.5:5432")
		switch kind := random.IntN(100); {
		case kind < 62: // the peer closes first
			over := at + between(20*ms, 3*s)
			add(server.Accept(at, rtt), server.Used(at+rtt+50*us, tcp.Established, nginx), server.State(over, tcp.Established, tcp.CloseWait),
				story.By(nginx, server.State(over+100*us, tcp.CloseWait, tcp.LastAck)),
				server.Totals(over+rtt, event.Counters{BytesSent: uint64(random.IntN(900_000)), BytesReceived: 812, SegsOut: 90, SegsIn: 45, SRTTus: uint32(rtt / us)}),
				server.State(over+rtt, tcp.LastAck, tcp.Close))
		case kind < 78: // we close first
			over := at + between(20*ms, 6*s)
			add(client.Connect(at, rtt, java), story.By(java, client.State(over, tcp.Established, tcp.FinWait1)),
				client.State(over+rtt, tcp.FinWait1, tcp.FinWait2), client.TimeWait(over+rtt+2*ms, tcp.FinWait2))
		case kind < 84: // the leak
			add(client.Connect(at, rtt, java), client.State(at+between(s, 2*s), tcp.Established, tcp.CloseWait))
		case kind < 90:
			refused := story.NewSocket(client.ID.Cookie, client.Local.String(), "10.20.0.9:8080")
			add(refused.Connect(at, 0, curl)[:2], refused.ResetReceived(at+rtt, tcp.SynSent),
				story.Failed(event.ECONNREFUSED, refused.State(at+rtt+us, tcp.SynSent, tcp.Close)))
		case kind < 95: // lossy, and reset at the end
			add(server.Accept(at, rtt), server.Used(at+rtt+50*us, tcp.Established, nginx),
				server.Retransmit(at+400*ms, tcp.Established, event.Retransmission{Seq: 7, Bytes: 1448, Segments: 1, RTOms: 204, SRTTus: 31000, Cwnd: 10, Pending: 5}),
				server.Retransmit(at+800*ms, tcp.Established, event.Retransmission{Seq: 7, Bytes: 1448, Segments: 1, RTOms: 408, SRTTus: 31000, Cwnd: 1, CAState: 4, Retransmits: 1, Head: true}),
				server.ResetReceived(at+1200*ms, tcp.Established),
				story.Failed(event.ECONNRESET, server.State(at+1200*ms+us, tcp.Established, tcp.Close)))
		default: // of a process with a name meant to harm; it aborts
			add(client.Connect(at, rtt, evil), story.By(evil, client.State(at+900*ms, tcp.Established, tcp.Close)),
				story.By(evil, client.ResetSent(at+900*ms+2*us, tcp.Close, "TCP_ABORT_ON_CLOSE")))
		}
	}
	slices.SortStableFunc(all, func(a, b event.Event) int { return int(a.Time - b.Time) })
	return all
}

type sysctls map[string]string

func (s sysctls) Sysctl(_ uint32, name string) string { return s[name] }
func (s sysctls) Forget(uint32)                       {}

// collect runs events through a tracker that reuses its memory, as a trace does.
func collect(events []event.Event, end time.Duration) *Collector {
	c := NewCollector(Options{Engine: diagnose.New(diagnose.Options{Settings: facts.Settings})})
	c.Begin(0)
	tracker := conn.New(conn.Options{Reuse: true})
	show := func(ch *conn.Change) { c.Show(ch) }
	for i := range events {
		tracker.Handle(&events[i], show)
	}
	c.Advance(event.Time(end))
	tracker.Finish(event.Time(end), show)
	return c
}

var facts = Facts{
	Clock: story.Clock, Version: "tcptrace test", Command: "tcptrace report --duration 30s incident.html", Host: "web-1", Kernel: "Linux 6.18.0",
	Source: "the running kernel", Summary: trace.Summary{Unjudged: 3},
	Capabilities: []Capability{
		{Name: "transitions", Grade: "exact", Hook: "tp_btf/inet_sock_set_state"},
		{Name: "accept()", Grade: "bounded", Hook: "tp_btf/tcp_rcv_space_adjust", Lost: "the process is known once it reads, the time of accept() is not", Why: "this kernel has no BPF trampolines", Remedy: "--exact-accept, at 50 ns for each system call of the host"},
		{Name: "why a reset was sent", Grade: "absent", Lost: "the kernel's reason is not shown", Why: "this kernel's tp_btf/tcp_send_reset does not tell", Remedy: "Linux 6.10 or later"},
	},
	Settings: sysctls{"net.ipv4.ip_local_port_range": "32768	60999", "net.ipv4.tcp_fin_timeout": "60"},
}

func write(pages ...*Page) ([]byte, error) {
	var out bytes.Buffer
	err := Write(&out, pages...)
	return out.Bytes(), err
}
