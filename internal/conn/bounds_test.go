package conn

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// The one whose state has not changed for longest makes room.
func TestTracker_Evicts(t *testing.T) {
	a, b, c := numbered(1), numbered(2), numbered(3)
	tr := New(Options{MaxConnections: 2})
	lines := tell(tr, events(
		a.connected(1*s), b.connected(2*s),
		a.state(3*s, tcp.Established, tcp.CloseWait),
		c.connected(4*s),
		b.state(5*s, tcp.Established, tcp.FinWait1), // comes back, and drops a
	))
	expect(t, lines, `
		1s client/101:4000 CLOSE>SYN_SENT ?
		1.001s client/101:4000 SYN_SENT>ESTABLISHED 1ms
		2s client/102:4000 CLOSE>SYN_SENT ?
		2.001s client/102:4000 SYN_SENT>ESTABLISHED 1ms
		3s client/101:4000 ESTABLISHED>CLOSE_WAIT 1.999s
		4s client/102:4000 ended open incomplete SYN_SENT=1ms ESTABLISHED=...
		4s client/103:4000 CLOSE>SYN_SENT ?
		4.001s client/103:4000 SYN_SENT>ESTABLISHED 1ms
		5s client/101:4000 ended open incomplete SYN_SENT=1ms ESTABLISHED=1.999s CLOSE_WAIT=...
		5s unknown/102:4000 ESTABLISHED>FIN_WAIT1 ?`)
	if st := tr.Stats(); st.Evicted != 2 || st.Live != 2 {
		t.Errorf("%d evicted, %d live; want 2, 2", st.Evicted, st.Live)
	}
}

// What waits is told before its connection is dropped.
func TestTracker_EvictsWhatWaits(t *testing.T) {
	c := aClient
	request := aServer
	tr := New(Options{MaxConnections: 1})
	expect(t, tell(tr, events(request.requestNoCookie(1*s), c.connected(2*s))), `
		1s server/0:80 LISTEN>SYN_RECV ?
		2s server/0:80 ended open incomplete SYN_RECV=...
		2s client/c1:4000 CLOSE>SYN_SENT ?
		2.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms`)

	tr = New(Options{MaxConnections: 1})
	tell(tr, events(inFinWait2(c), c.state(3*s, tcp.FinWait2, tcp.Close)))
	expect(t, tell(tr, events(request.request(3*s+10*us))), `
		3s client/c1:4000 FIN_WAIT2>CLOSE 999ms overflow
		3s client/c1:4000 ended overflow owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=999ms
		3.00001s server/51:80 LISTEN>SYN_RECV ?`)
	if st := tr.Stats(); st.Evicted != 0 {
		t.Errorf("%d evicted, want 0: it had ended", st.Evicted)
	}
}

func TestTracker_SpansAreBounded(t *testing.T) {
	c := aClient
	tr := New(Options{MaxSpans: 4})
	tell(tr, events(c.connected(1*s)))
	for i := range 100 { // no TCP does this
		at := time.Duration(2+i) * s
		tell(tr, events(c.state(at, tcp.Established, tcp.SynSent), c.state(at+1*ms, tcp.SynSent, tcp.Established)))
	}
	for k := range tr.Open {
		if len(k.Spans) != 4 || k.SpansCut != 198 {
			t.Errorf("%d spans and %d cut, want 4 and 198", len(k.Spans), k.SpansCut)
		}
		if k.Spans[3].State != tcp.Established || k.Spans[3].End != 0 || k.Spans[3].Begin != event.Time(101*s+1*ms) {
			t.Errorf("the last span is %+v", k.Spans[3])
		}
	}
}

// Only so many ended connections are remembered; a RST that comes too late for
// that has none.
func TestTracker_RemembersAFew(t *testing.T) {
	tr := New(Options{Remember: 3})
	for i := range 10 {
		tell(tr, through(numbered(i), time.Duration(i+1)*s, time.Duration(i+1)*s+1*ms))
	}
	if n := tr.index.byID.count; n != 3 {
		t.Errorf("%d connections known, want 3", n)
	}
	expect(t, tell(tr, events(numbered(6).resetSent(11*s, tcp.Close), numbered(7).resetSent(11*s, tcp.Close))), `
		11s - reset sent in CLOSE
		11s client/107:4000 reset sent in CLOSE`)
	finish(tr, 20*s)
	if n := tr.index.byID.count; n != 0 {
		t.Errorf("%d connections known after Finish", n)
	}
}

// Ended connections may be kept where Options.Reuse is off: later events and
// later lives do not change them.
func TestTracker_EndedMayBeKept(t *testing.T) {
	c := aClient
	tr := New(Options{})
	var kept []*Connection
	var copies []Connection
	emit := func(ch *Change) {
		if ch.Kind == Ended {
			kept = append(kept, ch.Conn)
			k := *ch.Conn
			k.Spans = slices.Clone(k.Spans)
			copies = append(copies, k)
		}
	}
	for i := range 2000 {
		at := time.Duration(i+1) * s
		for _, ev := range events(
			c.connected(at), by("bot", c.state(at+2*ms, tcp.Established, tcp.Close)),
			c.resetSent(at+3*ms, tcp.Close), c.totals(at+2*ms, 7),
			c.retransmit(at+1*ms, tcp.Established, event.Retransmission{}),
		) {
			tr.Handle(ev, emit)
		}
	}
	if len(kept) != 2000 {
		t.Fatalf("%d ended, want 2000", len(kept))
	}
	for i := range kept {
		if !reflect.DeepEqual(copies[i], *kept[i]) {
			t.Fatalf("connection %d changed after its end:\n%+v\nit was:\n%+v", i, *kept[i], copies[i])
		}
	}
}

// With Options.Reuse a steady stream of connections needs no more memory.
func TestTracker_SteadyStateAllocatesNothing(t *testing.T) {
	tr := New(Options{Reuse: true, Remember: 8})
	emit := func(*Change) {}
	at := time.Duration(0)
	n := 0
	var ev event.Event
	churn := func() {
		for range 100 {
			n, at = n+1, at+1*s
			for i := range lifeTemplate {
				ev = lifeTemplate[i]
				ev.Time += event.Time(at)
				if ev.ID.Cookie != 0 {
					ev.ID.Cookie += uint64(n) << 8
				}
				tr.Handle(&ev, emit)
			}
		}
	}
	churn()
	if allocs := testing.AllocsPerRun(100, churn); allocs != 0 {
		t.Errorf("%v allocations for 100 connections, want 0", allocs)
	}
	if st := tr.Stats(); st.Live != 0 || st.Illegal+st.Missing+st.Late+st.Stray != 0 {
		t.Errorf("after the churn: %+v", st)
	}
}

// lifeTemplate is both ends of a connection, and one that is reset, with
// cookies below 256 and times from 0.
var lifeTemplate = func() []event.Event {
	c, v := aClient, aServer
	var all []event.Event
	for _, ev := range events(
		by("curl", c.state(1*us, tcp.Close, tcp.SynSent)), c.bound(2*us),
		v.requestNoCookie(10*us),
		c.state(20*us, tcp.SynSent, tcp.Established),
		v.state(30*us, tcp.SynRecv, tcp.Established),
		by("curl", c.state(40*us, tcp.Established, tcp.FinWait1)),
		v.state(45*us, tcp.Established, tcp.CloseWait),
		c.state(50*us, tcp.FinWait1, tcp.FinWait2),
		by("nginx", v.state(60*us, tcp.CloseWait, tcp.LastAck)),
		c.timeWaitBegin(70*us, tcp.TimeWait), c.totals(71*us, 2),
		c.state(71*us, tcp.FinWait2, tcp.Close),
		v.totals(80*us, 2), v.state(80*us, tcp.LastAck, tcp.Close),
		c.timeWaitEnd(90*us, tcp.TimeWait, event.CauseReused),
	) {
		all = append(all, *ev)
	}
	return all
}()

func TestTracker_FinishInOrderOfBegin(t *testing.T) {
	tr := New(Options{})
	for i := range 5 {
		tell(tr, events(numbered(i).connected(time.Duration(i+1)*s)))
	}
	tell(tr, events(numbered(1).state(9*s, tcp.Established, tcp.CloseWait)))
	var open []string
	for c := range tr.Open {
		open = append(open, fmt.Sprintf("%x", c.ID.Cookie))
	}
	want := []string{"100", "101", "102", "103", "104"}
	if !slices.Equal(open, want) {
		t.Errorf("open: %v, want %v", open, want)
	}
	var ended []string
	tr.Finish(event.Time(10*s), func(c *Change) { ended = append(ended, fmt.Sprintf("%x", c.Conn.ID.Cookie)) })
	if !slices.Equal(ended, want) {
		t.Errorf("ended: %v, want %v", ended, want)
	}
	for range tr.Open {
		t.Error("something is open after Finish")
	}
}

func TestTracker_OpenStopsWhenAsked(t *testing.T) {
	tr := New(Options{})
	tell(tr, events(numbered(1).connected(1*s), numbered(2).connected(2*s)))
	n := 0
	for range tr.Open {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d yielded after a break, want 1", n)
	}
}

func TestTracker_UnknownKindIsStray(t *testing.T) {
	tr := New(Options{})
	ev := aClient.event(event.NumKinds, 1*s)
	expect(t, tell(tr, events(ev)), "")
	if n := tr.Stats().Stray; n != 1 {
		t.Errorf("%d stray, want 1", n)
	}
}
