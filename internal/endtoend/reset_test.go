//go:build linux

package endtoend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// A resetLine is what these tests read of a reset record.
type resetLine struct {
	Type      string
	Conn      string
	NetNS     uint32
	Local     string
	Remote    string
	Direction string
	Reason    string
	Cause     string
	Inferred  bool
	Process   struct{ PID int }
	Actor     struct{ PID int }
	Peer      struct {
		Conn    string
		NetNS   uint32
		Process struct{ PID int }
		Actor   struct{ PID int }
	}
}

func (tr *tracer) resets() (all []resetLine) {
	tr.t.Helper()
	for text := range bytes.Lines(tr.stdout.Bytes()) {
		var l resetLine
		if err := json.Unmarshal(text, &l); err != nil {
			tr.t.Fatalf("%v: %s", err, text)
		}
		all = append(all, l)
	}
	return all
}

// A connection that another process kills is two records, one of each end: both
// say why, whose the other end is and who killed it, across two namespaces.
func TestWatch_KindReset_Killed(t *testing.T) {
	truth, tr := playTraced(t, "reset-killed", lab.Params{Network: lab.Veth, N: 7}, "watch", "-o", "json", "--kind", "reset")
	got, want := map[resetLine]int{}, map[resetLine]int{}
	for _, l := range tr.resets() {
		got[l]++
	}
	us := os.Getpid()
	for _, c := range truth.Conns {
		killer := c.Resets[0].PID
		sent := resetLine{
			Type: "reset", Conn: c.ClientCookie.String(), NetNS: c.ClientNetNS, Local: c.Client.String(), Remote: c.Server.String(),
			Direction: "sent", Reason: "TCP_STATE", Cause: "reset-aborted",
		}
		sent.Process.PID, sent.Actor.PID = us, killer
		sent.Peer.Conn, sent.Peer.NetNS, sent.Peer.Process.PID = c.ServerCookie.String(), c.ServerNetNS, us
		want[sent]++
		received := resetLine{
			Type: "reset", Conn: c.ServerCookie.String(), NetNS: c.ServerNetNS, Local: c.Server.String(), Remote: c.Client.String(),
			Direction: "received", Cause: "reset-aborted",
		}
		received.Process.PID = us
		received.Peer.Conn, received.Peer.NetNS = c.ClientCookie.String(), c.ClientNetNS
		received.Peer.Process.PID, received.Peer.Actor.PID = us, killer
		want[received]++
	}
	compareResets(t, want, got)
}

// Each cause is told, also at the end of the connection, and nothing else is
// printed.
func TestWatch_KindReset_Causes(t *testing.T) {
	for story, cause := range map[string]string{
		"reset-unread": "reset-unread-data", "reset-disconnect": "reset-disconnect",
		"reset-linger2": "linger2", "refused": "connect-refused",
	} {
		t.Run(story, func(t *testing.T) {
			_, tr := playTraced(t, story, lab.Params{IPv6: true}, "watch", "-o", "json", "--kind", "reset")
			got := map[string]int{}
			for _, l := range tr.resets() {
				got[fmt.Sprintf("%s %s %s inferred=%v", l.Type, l.Direction, l.Cause, l.Inferred)]++
			}
			want := map[string]int{
				"reset sent " + cause + " inferred=false":     n,
				"reset received " + cause + " inferred=false": n,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// conns tells by what the connection was ended.
func TestConns_ResetCause(t *testing.T) {
	_, tr := playTraced(t, "reset-linger", lab.Params{}, "conns", "-o", "json")
	got := map[string]int{}
	for text := range bytes.Lines(tr.stdout.Bytes()) {
		var l struct {
			Type, Role, End string
			ResetCause      string `json:"reset_cause"`
		}
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		got[fmt.Sprintf("%s %s %s %s", l.Type, l.Role, l.End, l.ResetCause)]++
	}
	want := map[string]int{
		"connection client reset_sent reset-linger":     n,
		"connection server reset_received reset-linger": n,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func compareResets(t *testing.T, want, got map[resetLine]int) {
	t.Helper()
	for l, count := range want {
		if got[l] != count {
			t.Errorf("%d times, want %d: %+v", got[l], count, l)
		}
		delete(got, l)
	}
	for l, count := range got {
		t.Errorf("%d times, want none: %+v", count, l)
	}
}
