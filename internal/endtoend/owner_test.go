//go:build linux

package endtoend

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// A deed is a process that a record names, and how that is known.
type deed struct {
	PID int
	Via string
}

// An owned connection is what its record says of processes.
type owned struct {
	Type       string
	Conn       string
	Complete   bool
	Process    deed
	Closer     deed   // as the process where there is none of its own
	AcceptWait *int64 `json:"accept_wait_ns"`
}

// owners returns the connection records by cookie.
func (tr *tracer) owners() map[string]owned {
	tr.t.Helper()
	all := map[string]owned{}
	for text := range bytes.Lines(tr.stdout.Bytes()) {
		var c owned
		if err := json.Unmarshal(text, &c); err != nil {
			tr.t.Fatalf("%v: %s", err, text)
		}
		if c.Type != "connection" {
			continue
		}
		if c.Closer.PID == 0 {
			c.Closer.PID = c.Process.PID
		}
		if _, twice := all[c.Conn]; twice {
			tr.t.Errorf("a second record of %s", c.Conn)
		}
		all[c.Conn] = c
	}
	return all
}

// A tally counts what was said of processes: the same as the truth, another
// than that, or nothing.
type tally struct{ right, wrong, unknown int }

func (y *tally) add(got, want int) {
	switch got {
	case want:
		y.right++
	case 0:
		y.unknown++
	default:
		y.wrong++
	}
}

// ownersTraced runs a story beside tcptrace and returns the records.
func ownersTraced(t *testing.T, story string, params lab.Params, args ...string) (*lab.Truth, map[string]owned) {
	t.Helper()
	args = append([]string{"conns", "-o", "json", "--open"}, args...)
	if story == "writes-first" { // what it is about is seen after what it holds
		var tr *tracer
		truth := play(t, story, params, func(netns string) { tr = start(t, nil, append(args, netns)...) })
		tr.interrupt()
		return truth, tr.owners()
	}
	truth, tr := playTraced(t, story, params, args...)
	records := tr.owners()
	if want := 2 * truth.Count; len(records) != want {
		t.Errorf("%d connection records, want %d", len(records), want)
	}
	return truth, records
}

// seesAccept reports whether accept() itself is seen without being asked for.
func seesAccept(t *testing.T) bool {
	t.Helper()
	out, err := exec.Command(binary, "doctor", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	for text := range bytes.Lines(out) {
		var c struct{ Name, Grade string }
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		if c.Name == "accept()" {
			return c.Grade == "exact"
		}
	}
	t.Fatal("doctor does not speak of accept()")
	return false
}

// The processes that connect, accept, read and close are told by themselves,
// and the records name the same: all of them, none wrong, none unknown.
func TestOwners(t *testing.T) {
	trampolines := seesAccept(t)
	many := lab.Params{N: 1009}
	few := lab.Params{N: 101}
	for _, test := range lab.Sample(2, []struct {
		story  string
		params lab.Params
	}{
		{"prefork", many},
		{"prefork", lab.Params{N: 1009, Network: lab.Veth}},
		{"prefork", lab.Params{N: 101, IPv6: true}},
		{"http", many},
		{"reuseport", many},
		{"threads", few},
		{"goroutines", few},
		{"fd-passing", few},
		{"fork-handover", few},
		{"io-uring-accept", few},
		{"writes-first", few},
	}) {
		for _, exact := range []bool{false, true} {
			name := test.story + "," + string(test.params.Network) + "," + strconv.FormatBool(test.params.IPv6)
			var args []string
			if exact {
				name, args = name+",exact", []string{"--exact-accept"}
			}
			how := viaIn(test.story, exact, trampolines)
			t.Run(name, func(t *testing.T) { checkOwners(t, test.story, test.params, args, how) })
		}
	}
}

func checkOwners(t *testing.T, story string, params lab.Params, args []string, how string) {
	truth, records := ownersTraced(t, story, params, args...)
	var clients, servers, clientClosers, serverClosers tally
	via := map[string]int{}
	timed := 0
	if how == "accept" {
		timed = len(truth.Conns)
	}
	for i := range truth.Conns {
		c := &truth.Conns[i]
		client, server := records[c.ClientCookie.String()], records[c.ServerCookie.String()]
		clients.add(client.Process.PID, c.ClientPID)
		clientClosers.add(client.Closer.PID, c.ClientCloserPID)
		known := how
		if server.Process.Via == "snapshot" && how != "accept" {
			known = "snapshot" // the first sweep came after the connection
		}
		servers.add(server.Process.PID, ownerIn(c, known, server.Process.PID))
		serverClosers.add(server.Closer.PID, c.ServerCloserPID)
		via[client.Process.Via]++
		if server.Process.Via != known {
			t.Errorf("%v: the server is known by %q, want %q", c.Server, server.Process.Via, known)
		}
		via[server.Process.Via]++
		if server.AcceptWait != nil {
			timed--
		}
		if !client.Complete || !server.Complete {
			t.Errorf("%v: incomplete", c.Client)
		}
	}
	t.Logf("connect %+v, serve %+v, close %+v and %+v; via %v", clients, servers, clientClosers, serverClosers, via)
	n := len(truth.Conns)
	all := tally{right: n}
	if n != params.N || clients != all || servers != all || clientClosers != all || serverClosers != all {
		t.Errorf("of %d: connect %+v, serve %+v, close %+v and %+v", n, clients, servers, clientClosers, serverClosers)
	}
	if via["connect"] != n {
		t.Errorf("via %v, want %d connect", via, n)
	}
	if timed != 0 {
		t.Errorf("%d connections too few say how long they waited for accept()", timed)
	}
}

// A server that has only written is not seen to hold its connections. That is
// said, and the process that just ran when packets came is not named instead.
func TestOwners_UnknownIsSaid(t *testing.T) {
	if seesAccept(t) {
		t.Skip("this kernel shows accept(), so every process is known")
	}
	var text, records *tracer // no sweep finds the process
	params := lab.Params{Held: func(*lab.Truth) error {
		for _, tr := range []*tracer{text, records} {
			if status := tr.interrupt(); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
		}
		return nil
	}}
	truth := play(t, "writes-first", params, func(netns string) {
		text = start(t, nil, "conns", "--open", "--no-sweep", netns)
		records = start(t, nil, "conns", "--open", "--no-sweep", "-o", "json", netns)
	})
	all := records.owners()
	for _, c := range truth.Conns {
		if server := all[c.ServerCookie.String()]; server.Type == "" || server.Process != (deed{}) || server.Closer != (deed{}) {
			t.Errorf("the server's end: %+v, want no process", server)
		}
		if client := all[c.ClientCookie.String()]; client.Process != (deed{c.ClientPID, "connect"}) {
			t.Errorf("the client's end: %+v", client)
		}
	}
	servers := regexp.MustCompile(`(?m)^- +- +server .* open `).FindAllString(text.stdout.String(), -1)
	if len(servers) != n {
		t.Errorf("%d lines of servers without a process, want %d:\n%s", len(servers), n, text.stdout.String())
	}
}

// viaIn returns how a server's record has to know its process. System calls do
// not show what io_uring accepts.
func viaIn(story string, exact, trampolines bool) string {
	switch {
	case trampolines || exact && story != "io-uring-accept":
		return "accept"
	case story == "writes-first":
		return "close"
	}
	return "io"
}

// ownerIn returns the process that a server's record has to name then. A sweep
// names any one that holds the connection, if no other does at that moment.
func ownerIn(c *lab.TruthConn, how string, named int) int {
	switch how {
	case "accept":
		return c.AccepterPID
	case "io":
		return c.ReaderPID
	case "snapshot":
		if named == c.AccepterPID {
			return named
		}
	}
	return c.ServerCloserPID
}
