package census_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// The role of what the kernel keeps no trace of is inferred from listeners.
func TestInfer(t *testing.T) {
	var got []string
	for _, s := range story.Census().Sorted() {
		got = append(got, fmt.Sprintf("%s %d %s inferred=%v pid=%d via=%s", s.State, s.Local.Port(), s.Role, s.Inferred, s.Owner.PID, s.Via))
	}
	want := []string{
		"SYN_SENT 40001 client inferred=false pid=66 via=snapshot",
		"ESTABLISHED 40000 client inferred=true pid=4194304 via=snapshot",
		"LISTEN 443 server inferred=false pid=812 via=snapshot",
		"SYN_RECV 443 server inferred=false pid=812 via=listen",
		"ESTABLISHED 443 server inferred=false pid=812 via=listen",
		"ESTABLISHED 443 server inferred=true pid=812 via=snapshot",
		"CLOSE_WAIT 443 server inferred=true pid=812 via=snapshot",
		"FIN_WAIT1 40002 client inferred=true pid=0 via=",
		"FIN_WAIT2 443 server inferred=true pid=0 via=",
		"TIME_WAIT 443 server inferred=true pid=0 via=",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Of a SO_REUSEPORT group any may accept: it is not said which.
func TestInfer_SeveralListeners(t *testing.T) {
	for _, test := range []struct {
		name, second string
		want         uint32
	}{
		{"the same address", "0.0.0.0:443", 0},
		{"a better one", "10.0.0.1:443", 99},
		{"a worse one", "[::]:443", 812},
		{"another's", "10.0.0.2:443", 812},
	} {
		c := story.Unselected()
		var second census.Socket
		for _, s := range c.Sockets {
			if s.State == tcp.Listen {
				second = s
			}
		}
		second.Local = story.NewSocket(1, test.second, "").Local
		second.Owner.PID = 99
		c.Sockets = append(c.Sockets, second)
		c.Infer()
		for _, s := range c.Sockets {
			if s.State == tcp.SynRecv && s.Owner.PID != test.want {
				t.Errorf("%s: process %d, want %d", test.name, s.Owner.PID, test.want)
			}
		}
	}
}

// A listener in another network namespace makes no server.
func TestInfer_OtherNamespace(t *testing.T) {
	c := story.Unselected()
	for i := range c.Sockets {
		if c.Sockets[i].State == tcp.Listen {
			c.Sockets[i].ID.NetNS = story.ContainerNetNS
		}
	}
	c.Infer()
	for _, s := range c.Sockets {
		if s.Inferred && s.Role != conn.Client {
			t.Errorf("%s %v: %s, want client", s.State, s.Local, s.Role)
		}
	}
}

func TestSelect(t *testing.T) {
	for _, test := range []struct {
		name   string
		filter filter.Filter
		want   int
	}{
		{"all", filter.Filter{}, 10},
		{"state", filter.Filter{States: []tcp.State{tcp.Established}}, 3},
		{"process", filter.Filter{PIDs: []uint32{812}}, 5},
		{"a holder that is not the first", filter.Filter{PIDs: []uint32{814}}, 1},
		{"name", filter.Filter{Comms: []string{"java"}}, 1},
		{"container", filter.Filter{Containers: []string{"3f2a9c01"}}, 1},
		{"another container", filter.Filter{Containers: []string{"4f2a9c01"}}, 0},
		{"unit", filter.Filter{Cgroups: []string{"nginx.service"}}, 5},
		{"slice", filter.Filter{Cgroups: []string{"/system.slice"}}, 6},
		{"namespace", filter.Filter{NetNS: []uint32{story.ContainerNetNS}}, 1},
		{"port", filter.Filter{Ports: []uint16{443}}, 8},
		{"family", filter.Filter{IPv6: true}, 1},
	} {
		c := story.Unselected()
		c.Infer()
		c.Select(&test.filter, story.Label)
		if len(c.Sockets) != test.want {
			t.Errorf("%s: %d sockets, want %d", test.name, len(c.Sockets), test.want)
		}
	}
}

// The process that was asked for is shown, not the first that holds the socket.
func TestSelect_ShowsWhoWasAskedFor(t *testing.T) {
	c := story.Unselected()
	c.Select(&filter.Filter{PIDs: []uint32{814}}, story.Label)
	if s := c.Sockets[0]; s.Owner.PID != 814 || s.FD != 6 || s.Others() != 2 {
		t.Errorf("process %d with %d others, want 814 with 2", s.Owner.PID, s.Others())
	}
}

func TestSummarize(t *testing.T) {
	rows, total := story.Census().Summarize()
	var got []string
	for _, r := range append(rows, total) {
		got = append(got, fmt.Sprint(r.Group, " ", r.Owner.PID, " ", r.Total, " ", r.States))
	}
	want := []string{
		//                unknown EST SYN_SENT SYN_RECV FW1 FW2 TW CLOSE CW LA LISTEN CLOSING
		"process 812 5 [0 2 0 1 0 0 0 0 1 0 1 0]",
		"process 66 1 [0 0 1 0 0 0 0 0 0 0 0 0]",
		"process 4194304 1 [0 1 0 0 0 0 0 0 0 0 0 0]",
		"orphan 0 2 [0 0 0 0 1 1 0 0 0 0 0 0]",
		"none 0 1 [0 0 0 0 0 0 1 0 0 0 0 0]",
		"all 0 10 [0 3 1 1 1 1 1 0 1 0 1 0]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
