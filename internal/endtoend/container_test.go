//go:build linux

package endtoend

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	published = "172.17.0.1:18080" // what the server's port is called outside
	// anyAddress is where the server listens in its network, with this backlog.
	anyAddress = "0.0.0.0:8080"
	backlog    = 7
)

// A town is a server in a container with a published port, a client in another,
// and a client in the engine's own network.
type town struct {
	engine                  *engine
	server, inside, outside *peer
	native                  string // the server's address, in its own network
}

func newTown(t *testing.T) *town {
	t.Helper()
	e := startEngine(t)
	c := &town{engine: e}
	c.server = e.run([]string{"-p", "18080:8080"}, "serve", anyAddress, fmt.Sprint(backlog))
	c.native = c.server.addr + ":8080"
	c.inside = e.run(nil, "call", c.native, fmt.Sprint(n))
	c.outside = e.outside("call", published, fmt.Sprint(n))
	return c
}

func (c *town) netns() string {
	return "--netns=" + c.engine.host.netns + "," + c.server.netns + "," + c.inside.netns
}

// settle waits until the kernel has no connection left but in TIME_WAIT.
func (c *town) settle(t *testing.T) {
	t.Helper()
	alive := []string{"snapshot", "-o", "json", c.netns(),
		"--state", "established,syn_sent,syn_recv,fin_wait1,fin_wait2,close_wait,last_ack,closing"}
	for len(tcptrace(t, alive...)) > 0 {
	}
}

// who says which process a record is of, if it is one that was expected.
func (c *town) who(t *testing.T, pid int, comm, container, runtime, cgroup string) string {
	t.Helper()
	for name, p := range map[string]*peer{"server": c.server, "inside": c.inside, "outside": c.outside} {
		if p.pid != pid {
			continue
		}
		wanted := ""
		if p.id != "" {
			wanted = "docker"
		}
		if comm != "peer" || container != p.id || runtime != wanted || p.id != "" && cgroup != p.cgroup {
			t.Errorf("process %d of %s: comm %q, container %q, runtime %q, cgroup %q; want %q, %q, %q, %q",
				pid, name, comm, container, runtime, cgroup, "peer", p.id, wanted, p.cgroup)
		}
		return name
	}
	t.Errorf("process %d (%s) is none of ours", pid, comm)
	return "stranger"
}

// endpoints shortens the port that a client happened to get.
func (c *town) endpoints(local, remote string) string {
	for _, end := range []*string{&local, &remote} {
		if *end != published && *end != c.native && *end != anyAddress && *end != "" {
			*end = netip.MustParseAddrPort(*end).Addr().String() + ":*"
		}
	}
	return local + " " + remote
}

func TestContainers(t *testing.T) {
	c := newTown(t)
	t.Run("BothEnds", c.testBothEnds)
	t.Run("Snapshot", c.testSnapshot)
}

// A connection through a published port has two names, and one end in each
// network: the client calls the port of the host, the server has its own.
func (c *town) testBothEnds(t *testing.T) {
	all := start(t, nil, "conns", "-o", "json", "--open", c.netns())
	one := start(t, nil, "conns", "-o", "json", "--open", "--container", c.server.id[:12])
	cgroup := start(t, nil, "conns", "-o", "json", "--open", "--cgroup", c.inside.cgroup)
	moves := start(t, nil, "watch", "-o", "json", "--kind", "state", "--container", c.server.id[:12]+","+c.inside.id[:12])
	for _, p := range []*peer{c.inside, c.outside} {
		p.tell("open")
		p.tell("closed")
	}
	c.settle(t)
	for _, tr := range []*tracer{all, one, cgroup, moves} {
		if status := tr.interrupt(); status != 0 {
			t.Errorf("exit status %d, want 0", status)
		}
	}
	if said := withoutHost(all.stderr.String()); said != "" { // the others hear of all the host's
		t.Errorf("it says %q, want nothing", said)
	}
	servers := map[string]int{
		"server server " + c.native + " " + c.inside.addr + ":* LAST_ACK": n,
		"server server " + c.native + " 172.17.0.1:* LAST_ACK":            n,
	}
	inside := "inside client " + c.inside.addr + ":* " + c.native + " TIME_WAIT"
	outside := "outside client 172.17.0.1:* " + published + " TIME_WAIT"
	want := map[string]int{inside: n, outside: n}
	for key, count := range servers {
		want[key] = count
	}
	c.expectEnds(t, "all", want, all)
	c.expectEnds(t, "of the server's container", servers, one)
	c.expectEnds(t, "of the client's cgroup", map[string]int{inside: n}, cgroup)
	c.expectOneWire(t, all.records())
	c.expectMoves(t, moves)
}

func (c *town) expectEnds(t *testing.T, what string, want map[string]int, tr *tracer) {
	t.Helper()
	got := map[string]int{}
	for _, l := range tr.records() {
		if l.Type != "connection" {
			got[l.Type]++
			continue
		}
		p := &l.Process
		who := c.who(t, p.PID, p.Comm, p.Container, p.Runtime, p.Cgroup)
		last := l.States[len(l.States)-1].State
		got[who+" "+l.Role+" "+c.endpoints(l.Local, l.Remote)+" "+last]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("connections, %s (-want +got):\n%s", what, diff)
	}
}

// expectOneWire checks that what the server calls its peer is the client's
// name: neither translation changes it.
func (c *town) expectOneWire(t *testing.T, records []line) {
	t.Helper()
	clients, servers := map[string]bool{}, map[string]bool{}
	for _, l := range records {
		if l.Role == "client" {
			clients[l.Local] = true
		} else {
			servers[l.Remote] = true
		}
	}
	if diff := cmp.Diff(clients, servers); diff != "" || len(clients) != 2*n {
		t.Errorf("%d clients, as themselves and as servers see them (-own +server's):\n%s", len(clients), diff)
	}
}

func (c *town) expectMoves(t *testing.T, tr *tracer) {
	t.Helper()
	want := map[string]int{}
	for _, move := range strings.Fields("LISTEN-SYN_RECV SYN_RECV-ESTABLISHED ESTABLISHED-CLOSE_WAIT CLOSE_WAIT-LAST_ACK LAST_ACK-CLOSE") {
		want["server "+move] = 2 * n
	}
	for _, move := range strings.Fields("CLOSE-SYN_SENT SYN_SENT-ESTABLISHED ESTABLISHED-FIN_WAIT1 FIN_WAIT1-FIN_WAIT2 FIN_WAIT2-TIME_WAIT") {
		want["inside "+move] = n
	}
	got := map[string]int{}
	for _, l := range tr.records() {
		p := &l.Process
		got[c.who(t, p.PID, p.Comm, p.Container, p.Runtime, p.Cgroup)+" "+l.Old+"-"+l.New]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state records (-want +got):\n%s", diff)
	}
}

// Without --netns, a snapshot looks into each container's network.
func (c *town) testSnapshot(t *testing.T) {
	c.inside.tell("open")
	c.outside.tell("open")
	want := map[string]int{
		"server LISTEN server " + anyAddress + "  backlog=7":                           1,
		"server ESTABLISHED server " + c.native + " " + c.inside.addr + ":* backlog=-": n,
		"server ESTABLISHED server " + c.native + " 172.17.0.1:* backlog=-":            n,
	}
	c.expectSockets(t, c.server, want)
	c.expectSockets(t, c.inside, map[string]int{
		"inside ESTABLISHED client " + c.inside.addr + ":* " + c.native + " backlog=-": n,
	})
	c.inside.tell("closed")
	c.outside.tell("closed")
}

func (c *town) expectSockets(t *testing.T, of *peer, want map[string]int) {
	t.Helper()
	got := map[string]int{}
	for _, s := range socketLines(t, tcptrace(t, "snapshot", "-o", "json", "--container", of.id[:12])) {
		p := &s.Process
		who := c.who(t, p.PID, p.Comm, p.Container, p.Runtime, p.Cgroup)
		if netns := fmt.Sprint(s.NetNS); netns != of.netns {
			t.Errorf("%s in network namespace %s, want %s", s.State, netns, of.netns)
		}
		got[who+" "+s.State+" "+s.Role+" "+c.endpoints(s.Local, s.Remote)+" backlog="+figure(s.Backlog)]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sockets of container %.12s (-want +got):\n%s", of.id, diff)
	}
}
