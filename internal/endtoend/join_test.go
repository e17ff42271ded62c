//go:build linux

package endtoend

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/join"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// natted is how many connections go through NAT; of the last one the server
// leaves what the client sent unread.
const natted = 503

// natHello is what a client says first: which socket it is, and what to do.
const natHello = "%c%016x"

// cookieOf returns a socket's cookie.
func cookieOf(c net.Conn) uint64 {
	raw, err := c.(*net.TCPConn).SyscallConn()
	try(err)
	var cookie uint64
	try(raw.Control(func(fd uintptr) { cookie, err = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE) }))
	try(err)
	return cookie
}

// natServer tells for each connection which two sockets it has, and closes it
// after the client has, but for the one whose client says 'R'.
func natServer(address string) {
	l, err := net.Listen("tcp", address)
	try(err)
	fmt.Println("listening")
	var out sync.Mutex
	var all sync.WaitGroup
	for range natted {
		c, err := l.Accept()
		try(err)
		all.Go(func() {
			defer c.Close()
			var hello [17]byte
			peek(c, hello[:])
			out.Lock()
			fmt.Printf("%s %x\n", hello[1:], cookieOf(c))
			out.Unlock()
			if hello[0] != 'R' {
				_, err := io.Copy(io.Discard, c)
				try(err)
			}
		})
	}
	all.Wait()
}

// peek waits for data, and leaves it unread.
func peek(c net.Conn, to []byte) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	try(err)
	var failed error
	try(raw.Read(func(fd uintptr) bool {
		n, _, err := unix.Recvfrom(int(fd), to, unix.MSG_PEEK)
		if err != nil && err != unix.EAGAIN {
			failed = err
		}
		return failed != nil || n == len(to)
	}))
	try(failed)
}

// natClient makes the connections, a few at a time, and the last one alone.
func natClient(address string) {
	one := func(what rune) {
		c, err := net.Dial("tcp", address)
		try(err)
		_, err = fmt.Fprintf(c, natHello, what, cookieOf(c))
		try(err)
		if what != 'R' {
			try(c.(*net.TCPConn).CloseWrite())
		}
		_, err = io.Copy(io.Discard, c)
		if (err != nil) != (what == 'R') {
			try(fmt.Errorf("%c ends with %v", what, err))
		}
		c.Close()
	}
	turns := make(chan bool, natted)
	for range natted - 1 {
		turns <- true
	}
	close(turns)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range turns {
				one('-')
			}
		})
	}
	all.Wait()
	one('R')
}

// A natNetwork is a client's and a server's host, and a router between them that
// gives each connection of the client its own address and another port.
type natNetwork struct {
	client, server string // names of network namespaces
	inode          map[string]string
}

// natNetworks counts them: each has names of its own.
var natNetworks atomic.Int32

func newNATNetwork(t *testing.T) *natNetwork {
	t.Helper()
	base := fmt.Sprintf("ttnat%d-%d", os.Getpid(), natNetworks.Add(1))
	n := &natNetwork{client: base + "c", server: base + "s", inode: map[string]string{}}
	router := base + "r"
	ip := lookup(t, "ip")
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(ip, args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %q: %v: %s", args, err, out)
		}
	}
	for _, name := range []string{n.client, n.server, router} {
		run("netns", "add", name)
		t.Cleanup(func() { exec.Command(ip, "netns", "del", name).Run() })
		run("-n", name, "link", "set", "lo", "up")
		var st unix.Stat_t
		if err := unix.Stat("/run/netns/"+name, &st); err != nil {
			t.Fatal(err)
		}
		n.inode[name] = fmt.Sprint(st.Ino)
	}
	for _, side := range []struct{ host, address, gate, device string }{
		{n.client, "198.18.1.2/24", "198.18.1.1/24", "inside"}, {n.server, "198.18.2.2/24", "198.18.2.1/24", "outside"},
	} {
		run("-n", router, "link", "add", side.device, "type", "veth", "peer", "name", "eth0", "netns", side.host)
		run("-n", side.host, "addr", "add", side.address, "dev", "eth0")
		run("-n", side.host, "link", "set", "eth0", "up")
		run("-n", router, "addr", "add", side.gate, "dev", side.device)
		run("-n", router, "link", "set", side.device, "up")
		run("-n", side.host, "route", "add", "default", "via", strings.TrimSuffix(side.gate, "/24"))
	}
	run("netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	masquerade(t, router)
	return n
}

// masquerade has a router translate what it forwards to the outside, to ports at
// random.
func masquerade(t *testing.T, router string) {
	t.Helper()
	ns, err := os.Open("/run/netns/" + router)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	c, err := nftables.New(nftables.WithNetNSFd(int(ns.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "nat"})
	chain := c.AddChain(&nftables.Chain{
		Name: "out", Table: table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	device := append([]byte("outside"), make([]byte, 16-len("outside"))...)
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: device},
		&expr.Masq{FullyRandom: true},
	}})
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}

// in prepares the test binary for a job in a namespace.
func (n *natNetwork) in(t *testing.T, netns, job string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(lookup(t, "ip"), "netns", "exec", netns, self)
	cmd.Env = append(os.Environ(), helperVar+"="+job)
	cmd.Stderr = os.Stderr
	return cmd
}

// play makes the connections, and returns the server's cookie of each of the
// client's, and the server's pid.
func (n *natNetwork) play(t *testing.T) (truth map[uint64]uint64, server int) {
	t.Helper()
	const address = "198.18.2.2:8080"
	cmd := n.in(t, n.server, "nat-server "+address)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "listening" {
		t.Fatalf("the server says %q", lines.Text())
	}
	if err := n.in(t, n.client, "nat-client "+address).Run(); err != nil {
		t.Fatalf("the client: %v", err)
	}
	truth = map[uint64]uint64{}
	for lines.Scan() {
		var client, server uint64
		if _, err := fmt.Sscanf(lines.Text(), "%x %x", &client, &server); err != nil {
			t.Fatal(err)
		}
		truth[client] = server
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the server: %v", err)
	}
	return truth, cmd.Process.Pid
}

// moved copies a recording as one of another host, whose clock is ahead.
func moved(t *testing.T, from, to, host string, ahead time.Duration) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r, err := recording.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	info := *r.Info()
	info.Host, info.BootID, info.Session, info.Boot = host, host, host, info.Boot.Add(ahead)
	var out bytes.Buffer
	w, err := recording.NewWriter(&out, info)
	if err != nil {
		t.Fatal(err)
	}
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e.Kind {
		case recording.EventEntry:
			w.Event(&e.Event)
		case recording.TickEntry:
			w.Tick(e.Now)
		case recording.NamespaceEntry:
			w.Namespace(&e.Namespace)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// endsIn reads what a recording knows of its connections' ends.
func endsIn(t *testing.T, path string) []join.End {
	t.Helper()
	set, err := recording.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	r := set.Recordings[0]
	c := join.NewCollector(r.Clock())
	tr := trace.New(trace.Options{Now: r.Now})
	r.OnBatch = tr.Batch
	if _, err := tr.Run(context.Background(), r, c); err != nil {
		t.Fatal(err)
	}
	return c.Ends
}

// Two hosts with NAT between them, and clocks 3 s apart: all 503 connections are
// joined, and a RST is explained by the process of the other side.
func TestJoin_NAT(t *testing.T) {
	dir := t.TempDir()
	web, db := filepath.Join(dir, "web.ttr"), filepath.Join(dir, "db.ttr")
	const ahead = 3 * time.Second
	var truth map[uint64]uint64
	var server int
	lab.Unshielded(t.Logf, func() {
		n := newNATNetwork(t)
		raw := map[string]string{n.client: filepath.Join(dir, "client.raw"), n.server: filepath.Join(dir, "server.raw")}
		var tracers []*tracer
		for netns, path := range raw {
			tracers = append(tracers, start(t, nil, "record", path, "--force", "--netns", n.inode[netns]))
		}
		truth, server = n.play(t)
		for _, tr := range tracers {
			if status := tr.interrupt(); status != 0 {
				t.Errorf("exit status %d: %s", status, tr.stderr.String())
			}
		}
		moved(t, raw[n.client], web, "web-1", 0)
		moved(t, raw[n.server], db, "db-1", ahead)
	})
	a, b := endsIn(t, web), endsIn(t, db)
	got := join.Match(a, b)
	for _, p := range got.Pairs {
		if truth[a[p.A].ID.Cookie] != b[p.B].ID.Cookie || !p.Numbered || p.Ambiguous {
			t.Errorf("the client %x is joined with the server %x, want %x; %+v", a[p.A].ID.Cookie, b[p.B].ID.Cookie, truth[a[p.A].ID.Cookie], p)
		}
	}
	if len(truth) != natted || len(got.Pairs) != natted {
		t.Errorf("%d of %d connections are joined, want %d", len(got.Pairs), len(truth), natted)
	}
	if off := (got.Offset - ahead).Abs(); !got.OffsetKnown || off > got.Within+time.Millisecond || got.Within > 100*time.Millisecond {
		t.Errorf("the clocks differ by %v within %v, want %v", got.Offset, got.Within, ahead)
	}
	t.Logf("%d pairs; the clocks differ by %v within %v", len(got.Pairs), got.Offset, got.Within)
	explained(t, web, db, server)
	drawn(t, web, db, server)
}

// drawn checks that both ends of the connection that was reset are drawn one above
// the other, at the same place of the axis.
func drawn(t *testing.T, web, db string, server int) {
	t.Helper()
	out, err := exec.Command(binary, "timeline", "--from", web, "--from", db, "--ascii", "--rows", "2").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, ends, ok := strings.Cut(string(out), "\nBoth ends of 503 connections: web-1 above, db-1 below\n")
	lines := strings.Split(ends, "\n")
	if !ok || len(lines) != 6 {
		t.Fatalf("both ends are not drawn: %s", out)
	}
	if want := fmt.Sprintf("/%d on db-1", server); !strings.HasSuffix(lines[1], want) || !strings.Contains(lines[1], " on web-1 and ") {
		t.Errorf("the line is %q, want it to name both, %s", lines[1], want)
	}
	if !strings.Contains(lines[2], "->198.18.2.2:8080") || !strings.HasSuffix(lines[2], "reset_received") && !strings.HasSuffix(lines[2], "rst recv") {
		t.Errorf("the client's end is %q", lines[2])
	}
	if !strings.Contains(lines[3], ":8080<-198.18.2.1:") || !strings.HasSuffix(lines[3], "reset_sent") && !strings.HasSuffix(lines[3], "rst sent") {
		t.Errorf("the server's end is %q", lines[3])
	}
	t.Log(strings.Join(lines, "\n"))
}

// explained checks what "tcptrace why" says of the RST.
func explained(t *testing.T, web, db string, server int) {
	t.Helper()
	cmd := exec.Command(binary, "why", "--from", web, "--from", db, "-o", "json")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	for _, want := range []string{"503 connections between web-1 and db-1", "the clock of db-1 is ahead by ", "503 through NAT: 198.18.1.2 seen as 198.18.2.1"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("it does not say %q: %s", want, errs.String())
		}
	}
	found := false
	for text := range bytes.Lines(out) {
		var f struct {
			Host, Rule, Cause string
			Final             bool
			Peer              struct {
				PID  int
				Host string
			} `json:"peer_process"`
			Evidence struct{ Why string }
		}
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		if f.Host != "web-1" || f.Rule != "reset-by-peer" || !f.Final {
			continue
		}
		found = true
		if f.Peer.PID != server || f.Peer.Host != "db-1" || f.Evidence.Why != "reset-unread-data" || !strings.Contains(f.Cause, "on db-1") {
			t.Errorf("the RST is explained by %s, want process %d on db-1", text, server)
		}
	}
	if !found {
		t.Errorf("no finding is about the RST: %s", out)
	}
}
