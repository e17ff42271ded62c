package conn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// eventBytes is the length of an event in the fuzzer's input.
const eventBytes = 6

// decodeEvents makes events of any bytes, of few connections so that they
// meet. Time goes forward by what an event says, and back now and then.
func decodeEvents(data []byte) []event.Event {
	var evs []event.Event
	now := int64(1_000_000)
	for ; len(data) >= eventBytes; data = data[eventBytes:] {
		b := data[:eventBytes]
		back := b[5]&0xc0 == 0xc0
		delta := int64(1) << (b[4] & 31)
		at := now + delta
		if back {
			at = max(now-delta, 1)
		} else {
			now = at
		}
		which := b[0] >> 5
		ev := event.Event{
			Kind:  event.Kind(b[0]&31) % (event.NumKinds + 1),
			Old:   tcp.State(b[1] & 15),
			New:   tcp.State(b[1] >> 4),
			Cause: event.Cause(b[2]&7) % (event.CauseTimeout + 1),
			Time:  event.Time(at),
			ID:    event.ID{NetNS: uint32(which >> 2), Cookie: uint64(which & 3)},
		}
		port := 4000 + uint16(which&3)
		if b[2]&8 != 0 {
			port = 0
		}
		ev.Local = netip.AddrPortFrom(clientAddr.Addr(), port)
		if b[2]&16 == 0 {
			ev.Remote = serverAddr
		}
		if b[2]&32 != 0 {
			ev.ID.Cookie = 0
		}
		ev.WithoutRequest = b[2]&64 != 0
		if b[2]&128 != 0 {
			ev.Task.PID = uint32(b[3])
		}
		ev.Err = []event.Errno{0, 0, 0, 0, 104, 110, 111, 103}[b[5]&7]
		if ev.Kind == event.Lost {
			ev.Loss = event.Loss{Kind: event.State, Count: uint64(b[3]), From: event.Time(at - int64(b[3])*1000)}
		}
		ev.From = event.Time(at - int64(b[3])*1000)
		ev.Left = time.Duration(b[3]&3) * 30 * time.Second
		ev.Suppressed.ByClass[b[3]%byte(NumClasses)] = uint32(b[4])
		ev.Retransmission = event.Retransmission{
			Seq: uint32(b[3] >> 4), Bytes: uint32(b[3] & 1), RTOms: uint32(b[3]&6) * 100, CAState: b[2] % 5,
			Pending: b[5] & 7, Retransmits: b[5] >> 3 & 1, Flags: b[5] >> 4 & 1, Head: b[3]&8 != 0,
			Segments: uint32(b[3] & 3), Total: uint32(b[4]), DSACKs: uint32(b[4] >> 3), Undo: b[3]&1 != 0,
			Err: -int16(b[3]&4) * int16(b[5]>>5&1),
		}
		evs = append(evs, ev)
	}
	return evs
}

// encodeEvents is the inverse of decodeEvents for a story, nearly: it makes a
// seed that is like it.
func encodeEvents(evs []*event.Event) []byte {
	var data []byte
	now := event.Time(1_000_000)
	for _, ev := range evs {
		cookie := byte(ev.ID.Cookie%3) + 1
		b := [eventBytes]byte{byte(ev.Kind) | cookie<<5, byte(ev.Old) | byte(ev.New)<<4, byte(ev.Cause), 7}
		if ev.ID.Cookie == 0 {
			b[2] |= 32
		}
		if ev.Local.Port() == 0 {
			b[2] |= 8
		}
		if ev.WithoutRequest {
			b[2] |= 64
		}
		if ev.Task.Known() {
			b[2] |= 128
		}
		delta := ev.Time - now
		if delta < 0 {
			b[5] |= 0xc0
			delta = -delta
		}
		for 1<<(b[4]+1) <= delta && b[4] < 31 {
			b[4]++
		}
		now = max(now, ev.Time)
		switch ev.Err {
		case 104:
			b[5] |= 4
		case 110:
			b[5] |= 5
		case 111:
			b[5] |= 6
		case 103:
			b[5] |= 7
		}
		data = append(data, b[:]...)
	}
	return data
}

// A judge checks what holds of any changes whatever.
type judge struct {
	t     *testing.T
	alive map[*Connection]bool // those that a change named and that have not ended
	over  map[*Connection]bool
	out   bytes.Buffer
}

func (j *judge) hear(c *Change) {
	fmt.Fprintln(&j.out, line(c))
	switch c.Kind {
	case Transition:
		j.transition(c)
	case Ended:
		j.ended(c)
	case Found:
		if c.Conn.OpenedKnown || c.Conn.Complete || c.New != c.Conn.State {
			j.t.Errorf("%s: found, and more is known", line(c))
		}
		j.alive[c.Conn] = true
	case Corrected:
		if c.Event != nil || c.Old == c.New || c.Conn.Complete {
			j.t.Errorf("%s: complete is %v", line(c), c.Conn.Complete)
		}
	case Owned:
		if c.Event != nil || !c.Conn.Owner.Known() {
			j.t.Errorf("%s: event %v", line(c), c.Event)
		}
	case Orphaned:
		if c.Event != nil || c.Conn.State != tcp.FinWait2 {
			j.t.Errorf("%s: event %v, in %v", line(c), c.Event, c.Conn.State)
		}
	case Episode:
		j.episode(c)
	case Crowd:
		if c.Event == nil || c.Conn != nil {
			j.t.Errorf("%s: event %v of %v", line(c), c.Event, c.Conn)
		}
	case Lost, ResetSent, ResetReceived, Retransmitted, Dropped, QueueFull, Failed:
		if c.Event == nil {
			j.t.Errorf("%s: no event", line(c))
		}
	default:
		j.t.Errorf("change of kind %d", c.Kind)
	}
	if c.Kind == Retransmitted && c.Conn == nil || c.Kind == Lost && c.Conn != nil {
		j.t.Errorf("%s: connection %v", line(c), c.Conn)
	}
}

// episode checks what holds of every loss episode.
func (j *judge) episode(c *Change) {
	e := c.Episode
	var sum uint32
	for _, n := range e.Classes {
		sum += n
	}
	lost, exact := e.TimeLost(c.Time)
	switch {
	case sum != e.Segments || e.FINs > sum:
		j.t.Errorf("%s: %d segments, %d by class, %d FINs", line(c), e.Segments, sum, e.FINs)
	case (e.End == 0) != (e.Outcome == OutcomeOpen), e.End != 0 && e.End < e.Begin, lost < e.Waited, exact && !e.EndKnown:
		j.t.Errorf("%s: from %d to %d, %v lost", line(c), e.Begin, e.End, lost)
	case len(e.Chain) > maxLinks:
		j.t.Errorf("%s: %d links", line(c), len(e.Chain))
	}
	j.alive[c.Conn] = true
}

func (j *judge) transition(c *Change) {
	if c.Illegal == tcp.Legal(c.Old, c.New) {
		j.t.Errorf("%s: illegal is %v", line(c), c.Illegal)
	}
	if c.InState < 0 {
		j.t.Errorf("%s: negative", line(c))
	}
	j.alive[c.Conn] = true
}

func (j *judge) ended(c *Change) {
	k := c.Conn
	if j.over[k] {
		j.t.Errorf("%s: a second time", line(c))
	}
	j.over[k] = true
	if k.Listener() {
		j.t.Errorf("%s: a listener", line(c))
	}
	if k.Closed == 0 && k.End != EndUnknown {
		j.t.Errorf("%s: open and ended", line(c))
	}
	j.spans(c, k)
}

// spans checks that k's stays follow each other and fill its life, and that a
// complete life is one that TCP can lead.
func (j *judge) spans(c *Change, k *Connection) {
	if len(k.Spans) == 0 {
		j.t.Fatalf("%s: no spans", line(c))
	}
	if k.SpansCut == 0 && k.Spans[0].Begin != k.Opened {
		j.t.Errorf("%s: opened at %d, first span at %d", line(c), k.Opened, k.Spans[0].Begin)
	}
	for i, sp := range k.Spans {
		last := i == len(k.Spans)-1
		end := sp.End
		if last && k.Closed == 0 {
			if end != 0 {
				j.t.Errorf("%s: open, but its last stay has ended", line(c))
			}
			break
		}
		if end < sp.Begin {
			j.t.Errorf("%s: a stay of %v", line(c), end.Sub(sp.Begin))
		}
		if last && end != k.Closed || !last && end != k.Spans[i+1].Begin {
			j.t.Errorf("%s: a hole after %v", line(c), sp.State)
		}
	}
	if !k.Complete {
		return
	}
	if !k.OpenedKnown || k.SpansCut > 0 {
		j.t.Errorf("%s: complete, but its begin is not known", line(c))
	}
	if first := k.Spans[0].State; first != tcp.SynSent && first != tcp.SynRecv {
		j.t.Errorf("%s: complete, but it begins in %v", line(c), first)
	}
	for i := 1; i < len(k.Spans); i++ {
		if !tcp.Legal(k.Spans[i-1].State, k.Spans[i].State) {
			j.t.Errorf("%s: complete, but illegal", line(c))
		}
	}
	if k.Closed != 0 && !tcp.Legal(k.Spans[len(k.Spans)-1].State, tcp.Close) {
		j.t.Errorf("%s: complete, but cannot close from %v", line(c), k.Spans[len(k.Spans)-1].State)
	}
}

const fuzzBound = 5

// replay runs evs through a new tracker and judges each change.
func replay(t *testing.T, evs []event.Event, reuse bool) *judge {
	j := &judge{t: t, alive: map[*Connection]bool{}, over: map[*Connection]bool{}}
	hear := j.hear
	if reuse { // the same memory serves again: only the bytes are judged
		hear = func(c *Change) { fmt.Fprintln(&j.out, line(c)) }
	}
	tr := New(Options{MaxConnections: fuzzBound, MaxSpans: 8, Remember: 3, Reuse: reuse})
	for i := range evs {
		before := evs[i]
		tr.Handle(&evs[i], hear)
		if evs[i] != before {
			t.Fatal("the event was changed")
		}
		checkCounts(t, tr)
	}
	tr.Finish(tr.now, hear)
	checkCounts(t, tr)
	if tr.episodes.open != 0 || len(tr.episodes.quiet) != 0 {
		t.Errorf("after Finish: %d loss episodes, %d to end by quiet", tr.episodes.open, len(tr.episodes.quiet))
	}
	if tr.Stats().Live != 0 || tr.index.byID.count+len(tr.index.byTuple) != 0 {
		t.Errorf("after Finish: %d live, %d and %d indexed", tr.Stats().Live, tr.index.byID.count, len(tr.index.byTuple))
	}
	for k := range j.alive {
		if !j.over[k] && !k.Listener() {
			t.Errorf("%s never ended", name(k))
		}
	}
	return j
}

// checkCounts compares the figures with what is there.
func checkCounts(t *testing.T, tr *Tracker) {
	t.Helper()
	var states [tcp.NumStates]int
	n := 0
	for c := range tr.Open {
		states[c.State]++
		n++
	}
	if tr.episodes.open > n || len(tr.episodes.quiet) > tr.episodes.open {
		t.Fatalf("%d loss episodes of %d, %d to end by quiet", tr.episodes.open, n, len(tr.episodes.quiet))
	}
	st := tr.Stats()
	if st.States != states || st.Live != n || n > fuzzBound {
		t.Fatalf("%d open in %v; counted %d in %v", n, states, st.Live, st.States)
	}
	if tr.index.byID.count > fuzzBound+3 || len(tr.index.byTuple) > fuzzBound {
		t.Fatalf("%d and %d indexed", tr.index.byID.count, len(tr.index.byTuple))
	}
}

func FuzzTracker(f *testing.F) {
	c, v := aClient, aServer
	f.Add([]byte{})
	for _, seed := range [][]*event.Event{
		events(inFinWait2(c), c.timeWaitBegin(2*s+2*ms, tcp.TimeWait), c.totals(2*s+2*ms, 1), c.state(2*s+2*ms, tcp.FinWait2, tcp.Close), c.timeWaitEnd(64*s, tcp.TimeWait, event.CauseExpired)),
		events(orphan(c), c.timeWaitFin(5*s), c.timeWaitEnd(66*s, tcp.TimeWait, event.CauseReused)),
		events(inFinWait2(c), c.state(3*s, tcp.FinWait2, tcp.Close), v.request(4*s), c.resetSent(4*s, tcp.Close)),
		events(inFinWait2(c), c.state(3*s, tcp.FinWait2, tcp.Close), c.resetSent(3*s, tcp.Close)),
		events(v.requestNoCookie(1*s), v.state(2*s, tcp.SynRecv, tcp.Established), v.state(3*s, tcp.Established, tcp.CloseWait), by("x", v.state(4*s, tcp.CloseWait, tcp.LastAck)), v.totals(5*s, 1), v.state(5*s, tcp.LastAck, tcp.Close)),
		events(v.requestNoCookie(1*s), v.requestEnd(2*s, event.CauseTimeout), v.request(3*s), v.requestEnd(4*s, event.CauseReset)),
		events(c.connected(1*s), lost(3, 1*s, 2*s), c.connected(3*s), c.resetReceived(4*s, tcp.Established), failing(104, c.state(4*s, tcp.Established, tcp.Close))),
		events(c.state(3*s, tcp.FinWait1, tcp.FinWait2), c.state(2*s, tcp.Established, tcp.FinWait1), c.timeWaitFin(3*s), c.timeWaitBegin(3*s, tcp.FinWait2)),
		events(c.connected(1*s), c.state(2*s, tcp.Established, tcp.FinWait1), c.resetReceived(3*s, tcp.FinWait1), failing(104, c.state(3*s, tcp.FinWait1, tcp.Close)), c.resetSent(3*s, tcp.Close)),
		events(through(numbered(0), 1*s, 2*s), through(numbered(1), 3*s, 4*s), through(numbered(2), 5*s, 6*s), through(numbered(3), 7*s, 8*s)),
		events(c.seen(1*s, tcp.Established), swept(1*s, 1*s), v.requestNoCookie(2*s), v.seen(3*s, tcp.SynRecv), c.seen(3*s, tcp.TimeWait), swept(3*s, 3*s), swept(60*s, 61*s), swept(120*s, 121*s)),
		events(c.connected(1*s), c.tlp(2*s, 100), c.congestion(3*s, caLoss), c.rto(3*s, 100, 200), c.rto(4*s, 100, 400), c.congestion(5*s, caOpen), c.tlp(6*s, 200), c.tlp(40*s, 300)),
		events(portKnown(c, c.state(1*s, tcp.Close, tcp.Listen)), v.request(2*s), c.state(3*s, tcp.Listen, tcp.Close)),
	} {
		f.Add(encodeEvents(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 400*eventBytes {
			return
		}
		evs := decodeEvents(data)
		first := replay(t, evs, false)
		if again := replay(t, evs, false); !bytes.Equal(first.out.Bytes(), again.out.Bytes()) {
			t.Error("a replay gives other bytes")
		}
		if reused := replay(t, evs, true); !bytes.Equal(first.out.Bytes(), reused.out.Bytes()) {
			t.Errorf("Reuse gives other bytes:\n%s\nwithout:\n%s", reused.out.Bytes(), first.out.Bytes())
		}
	})
}

// The seeds really are the stories: they mean what their stories mean.
func TestFuzzSeedsDecode(t *testing.T) {
	evs := decodeEvents(encodeEvents(events(aClient.connected(1 * s))))
	kinds := []event.Kind{event.State, event.Bound, event.State}
	var got []event.Kind
	for _, ev := range evs {
		got = append(got, ev.Kind)
	}
	if !slices.Equal(got, kinds) || evs[2].New != tcp.Established {
		t.Errorf("decoded %v", got)
	}
}

// A long deterministic walk of random but plausible lives, for every run of
// the tests: the fuzzer's seeds are short.
func TestTracker_RandomWalk(t *testing.T) {
	state := uint64(1)
	random := func() uint64 { // xorshift
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		return state
	}
	for range 200 {
		var data []byte
		for range 100 * eventBytes / 8 {
			data = binary.LittleEndian.AppendUint64(data, random())
		}
		replay(t, decodeEvents(data), false)
	}
}
