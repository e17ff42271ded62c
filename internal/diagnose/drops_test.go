package diagnose_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

var (
	aSYN  = event.Packet{Flags: 2}
	anACK = event.Packet{Flags: 16}
	data  = event.Packet{Flags: 24, Bytes: 1448}
	aFIN  = event.Packet{Flags: 17}
)

// dropsOut are packets of a socket's that its own namespace drops as they leave.
func dropsOut(of story.Socket, at time.Duration, reason string, p event.Packet) event.Event {
	p.Outgoing = true
	return event.Event{Kind: event.Dropped, Time: event.Time(at), ID: of.ID, Local: of.Local, Remote: of.Remote, Reason: reason, Packet: p}
}

// dropsIn are packets for a socket that are dropped before it is found.
func dropsIn(of story.Socket, at time.Duration, reason string, p event.Packet) event.Event {
	ev := dropsOut(of, at, reason, p)
	ev.ID.Cookie, ev.Packet.Outgoing = 0, false
	return ev
}

// evidence reads the figures of a finding that are about drops.
func dropEvidence(f *diagnose.Finding) (got string) {
	for _, v := range f.Evidence {
		switch v.Name {
		case "dropped", "dropped_answers", "drop_netns":
			got += fmt.Sprintf("%s=%d ", v.Name, v.Number)
		case "drop_reason":
			got += v.Name + "=" + v.Word + " "
		}
	}
	return got
}

// The figures say what was dropped, and where, and the advice is about that.
func TestDrops_Evidence(t *testing.T) {
	c := ruleCase{until: 6 * s, events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(silent(client, 1*s, curl)[:2], dropsOut(client, 1*s, "NETFILTER_DROP", aSYN),
			silent(client, 1*s, curl)[2:], dropsIn(client, 3*s+1*ms, "QDISC_DROP", anACK), dropsOut(client, 3*s+2*ms, "TCP_OLD_DATA", data))
	})}
	f := c.run(nil).Findings()[0]
	if diff := cmp.Diff("dropped=3 dropped_answers=3 drop_reason=NETFILTER_DROP drop_netns=4026531840 ", dropEvidence(&f)); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	if want := "3 SYNs and 3 answers dropped on this host (most by NETFILTER_DROP): a firewall of this host drops them"; f.Cause != want {
		t.Errorf("it says %q, want %q", f.Cause, want)
	}
}
