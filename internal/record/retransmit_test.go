package record

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// tail returns what the records of a change have behind mono_ns.
func tail(t *testing.T, c *conn.Change) string {
	t.Helper()
	text := string(Append(nil, c, event.Clock{}))
	_, text, ok := strings.Cut(text, `"mono_ns":0,`)
	if !ok {
		t.Fatalf("no time: %s", text)
	}
	return strings.TrimSuffix(text, "}\n")
}

// What a storm left no room to tell one by one is told in sums, and says so.
func TestAppend_Suppressed(t *testing.T) {
	var classes [conn.NumClasses]uint32
	classes[conn.ClassRTO], classes[conn.ClassFast] = 7, 2
	more := &event.Event{Kind: event.RetransmitMore, Count: 8, Old: tcp.Established, ID: event.ID{NetNS: 5}, Suppressed: event.Suppressed{ByClass: classes}}
	c := &conn.Connection{ID: event.ID{NetNS: 5, Cookie: 0xc1}, Local: netip.MustParseAddrPort("10.0.0.1:4000"), Remote: netip.MustParseAddrPort("10.0.0.2:80")}
	for _, tc := range []struct {
		change conn.Change
		want   string
	}{
		{conn.Change{Kind: conn.Retransmitted, Conn: c, Event: more, Class: conn.ClassRTO, Segments: 7},
			`"conn":"c1","netns":5,"family":"ipv4","local":"10.0.0.1:4000","remote":"10.0.0.2:80","class":"rto","state":"ESTABLISHED","segments":7,"suppressed":true`},
		{conn.Change{Kind: conn.Crowd, Event: more, Segments: 9},
			`"netns":5,"suppressed":true,"count":8,"segments":9,"retransmits":{"rto":7,"fast":2}`},
		{conn.Change{Kind: conn.Crowd, Event: &event.Event{Kind: event.ResetMore, Count: 300, Reason: "NO_SOCKET", ID: event.ID{NetNS: 5}}},
			`"netns":5,"suppressed":true,"count":300,"direction":"sent","reason":"NO_SOCKET"`},
	} {
		if got := tail(t, &tc.change); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

// What was not sent says why, and what made the kernel try.
func TestAppend_Unsent(t *testing.T) {
	ev := &event.Event{Kind: event.Retransmit, Old: tcp.LastAck, Retransmission: event.Retransmission{
		Seq: 9, RTOms: 204, Flags: 0x11, CAState: 4, Retransmits: 1, Err: -1, Segments: 1,
	}}
	for err, word := range map[int16]string{-1: "EPERM", 1: "dropped"} {
		ev.Retransmission.Err = err
		got := tail(t, &conn.Change{Kind: conn.Retransmitted, Conn: &conn.Connection{}, Event: ev, Class: conn.ClassUnsent, Segments: 1})
		want := `"class":"unsent","trigger":"rto","fin":true,"state":"LAST_ACK","segments":1,"seq":9,"bytes":0,"rto_ms":204,"ca_state":"Loss","error":"` + word + `"`
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
