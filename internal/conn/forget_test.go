package conn

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// stranger is a connection of which nobody wants to know.
func stranger(n int) socket {
	remote := netip.AddrPortFrom(clientAddr.Addr(), uint16(1+n%60000))
	return socket{event.ID{NetNS: 1, Cookie: uint64(0x100 + n)}, serverAddr, remote}
}

// forgetting forgets, as their owner becomes known, the connections of all but
// wanted, and counts the changes by kind.
func forgetting(tr *Tracker, wanted string, counts map[ChangeKind]int) Handler {
	return func(c *Change) {
		counts[c.Kind]++
		if c.Conn != nil && c.Conn.Owner.Known() && commOf(c.Conn) != wanted {
			tr.Forget(c.Conn)
		}
	}
}

func commOf(c *Connection) string {
	n := 0
	for n < len(c.Owner.Task.Comm) && c.Owner.Task.Comm[n] != 0 {
		n++
	}
	return string(c.Owner.Task.Comm[:n])
}

// Of a flood of strangers' connections nothing remains: no Ended, no memory.
func TestForget_LeavesNothing(t *testing.T) {
	tr := New(Options{Reuse: true, Remember: 64})
	counts := map[ChangeKind]int{}
	handle := forgetting(tr, "ours", counts)
	const flood = 10007
	for n := range flood {
		c := stranger(n)
		at := time.Duration(n+1) * 10 * ms
		for _, ev := range append(c.accepted(at), c.process(event.Used, at+2*ms, tcp.Established, "other")) {
			tr.Handle(ev, handle)
		}
	}
	if st := tr.Stats(); st.Live != 0 || st.Forgotten != flood || st.States != [tcp.NumStates]int{} || st.Evicted != 0 {
		t.Errorf("%+v", st)
	}
	if got := tr.index.byID.count; got > 64 {
		t.Errorf("%d are remembered, want 64 at most", got)
	}
	tr.Finish(event.Time(time.Hour), handle)
	if counts[Ended] != 0 || counts[Owned] != flood || counts[Transition] != 2*flood {
		t.Errorf("changes by kind: %v", counts)
	}
}

// What another CPU was just reporting comes a moment after, and begins nothing.
func TestForget_Stragglers(t *testing.T) {
	tr := New(Options{Reuse: true})
	counts := map[ChangeKind]int{}
	handle := forgetting(tr, "ours", counts)
	c := stranger(1)
	for _, ev := range events(
		c.accepted(1*s),
		c.process(event.Used, 2*s, tcp.Established, "other"),
		c.state(2*s+20*us, tcp.Established, tcp.CloseWait),
	) {
		tr.Handle(ev, handle)
	}
	if st := tr.Stats(); st.Live != 0 || st.Late != 1 || counts[Transition] != 2 {
		t.Errorf("%+v, changes %v", st, counts)
	}
}

// The process that we want gets the socket later, and closes it: the source
// tells of that again.
func TestForget_HandedOn(t *testing.T) {
	tr := New(Options{})
	counts := map[ChangeKind]int{}
	c := stranger(1)
	for _, ev := range events(
		c.accepted(1*s),
		c.process(event.Accepted, 2*s, tcp.Established, "other"),
	) {
		tr.Handle(ev, forgetting(tr, "ours", counts))
	}
	expect(t, tell(tr, events(
		by("ours", c.state(3*s, tcp.CloseWait, tcp.LastAck)),
		c.state(4*s, tcp.LastAck, tcp.Close),
	)), `
		3s unknown/101:80 CLOSE_WAIT>LAST_ACK ? by ours
		4s unknown/101:80 LAST_ACK>CLOSE 1s
		4s unknown/101:80 ended fin incomplete begin-unknown owner=ours/close closer=ours/close CLOSE_WAIT=~0s LAST_ACK=1s`)
}

// A request without a cookie is known by its addresses.
func TestForget_Request(t *testing.T) {
	tr := New(Options{})
	c := aServer
	tr.Handle(c.requestNoCookie(1*s), func(*Change) {})
	tr.Handle(c.event(event.RetransmitSynAck, 2*s), func(ch *Change) { tr.Forget(ch.Conn) })
	if st := tr.Stats(); st.Live != 0 || st.Forgotten != 1 {
		t.Errorf("%+v", st)
	}
}

// Who ended, and whose place another took, is not forgotten twice.
func TestForget_Reborn(t *testing.T) {
	tr := New(Options{Reuse: true})
	c := aClient
	forget := func(ch *Change) {
		if ch.Kind == Ended {
			tr.Forget(ch.Conn)
		}
	}
	for _, ev := range events(c.connected(1*s), c.connected(5*s)) {
		tr.Handle(ev, forget)
	}
	if st := tr.Stats(); st.Live != 1 || st.Reborn != 1 || st.Forgotten != 0 {
		t.Errorf("%+v", st)
	}
}

// Whatever happens, and whoever is forgotten in the middle of it, the figures
// stay right, and nothing is left in the end.
func FuzzTracker_Forget(f *testing.F) {
	for seed := range uint64(32) {
		random := rand.New(rand.NewPCG(seed, seed))
		var data []byte
		for range 100 * eventBytes / 8 {
			data = binary.LittleEndian.AppendUint64(data, random.Uint64())
		}
		f.Add(data, uint8(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte, every uint8) {
		if len(data) > 400*eventBytes {
			return
		}
		evs := decodeEvents(data)
		tr := New(Options{MaxConnections: fuzzBound, MaxSpans: 8, Remember: 3, Reuse: every&1 == 0})
		n := uint8(0)
		forget := func(c *Change) {
			if n++; c.Conn != nil && n%(1+every%7) == 0 {
				tr.Forget(c.Conn)
			}
		}
		for i := range evs {
			tr.Handle(&evs[i], forget)
			checkCounts(t, tr)
		}
		tr.Finish(tr.now, forget)
		checkCounts(t, tr)
		if tr.Stats().Live != 0 || tr.index.byID.count+len(tr.index.byTuple) != 0 || tr.doubts.head != nil {
			t.Errorf("after Finish: %+v, %d and %d indexed", tr.Stats(), tr.index.byID.count, len(tr.index.byTuple))
		}
	})
}
