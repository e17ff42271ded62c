package conn

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// episodeWords prints a loss episode: its outcome, the time lost (">=" where it
// was at least so long), the chain ("rto@400" is one segment by a timer of
// 400 ms, "fast*3" are three), and what was lost.
func episodeWords(c *Change) []string {
	e := c.Episode
	lost, exact := e.TimeLost(c.Time)
	long := lost.String()
	if !exact {
		long = ">=" + long
	}
	w := []string{"episode"}
	if e.Outcome != OutcomeUnknown {
		w = append(w, e.Outcome.String())
	}
	w = append(w, long)
	for _, l := range e.Chain {
		link := l.Class.String()
		if l.Class.timed() && l.RTOms != 0 {
			link += fmt.Sprintf("@%d", l.RTOms)
		}
		if l.Segments != 1 {
			link += fmt.Sprintf("*%d", l.Segments)
		}
		w = append(w, link)
	}
	if e.ChainCut > 0 {
		w = append(w, fmt.Sprintf("+%d", e.ChainCut))
	}
	if e.Lost != LostUnknown {
		w = append(w, "lost="+e.Lost.String())
	}
	if e.Needless > 0 {
		w = append(w, fmt.Sprintf("needless=%d", e.Needless))
	}
	return w
}

// The segments of these stories have 100 bytes.

func (s socket) again(at time.Duration, seq uint32, x event.Retransmission) *event.Event {
	x.Seq, x.Bytes, x.Segments = seq, 100, 1
	return s.retransmit(at, tcp.Established, x)
}

// tlp is a loss probe; it is seldom the first in the queue.
func (s socket) tlp(at time.Duration, seq uint32) *event.Event {
	return s.again(at, seq, event.Retransmission{Pending: 5, RTOms: 200})
}

// rto is a timeout, of a timer of rtoMS.
func (s socket) rto(at time.Duration, seq, rtoMS uint32) *event.Event {
	return s.again(at, seq, event.Retransmission{CAState: caLoss, Retransmits: 1, RTOms: rtoMS, Head: true, Sacked: 4})
}

// recovery follows a timeout, fast a few duplicate ACKs.
func (s socket) recovery(at time.Duration, seq uint32) *event.Event {
	return s.again(at, seq, event.Retransmission{CAState: caLoss, Pending: 1, RTOms: 200, Sacked: 4})
}

func (s socket) fast(at time.Duration, seq uint32) *event.Event {
	return s.again(at, seq, event.Retransmission{CAState: caRecovery, Pending: 1, RTOms: 200, Sacked: 4})
}

// congestion is the kernel's change of a socket's congestion state; what was
// done for a loss can still be undone.
func (s socket) congestion(at time.Duration, state uint8) *event.Event {
	ev := s.event(event.Congestion, at)
	ev.Old = tcp.Established
	ev.Retransmission = event.Retransmission{CAState: state, RTOms: 200, Undo: true}
	return ev
}

// undone is for the change to Open of an episode that the kernel took back.
func undone(ev *event.Event) *event.Event {
	ev.Retransmission.Undo = false
	return ev
}

// dsacks says how many copies the peer has reported so far.
func dsacks(n uint32, ev *event.Event) *event.Event {
	ev.Retransmission.DSACKs = n
	return ev
}

// first marks a segment as the first unacknowledged one.
func first(ev *event.Event) *event.Event {
	ev.Retransmission.Head = true
	return ev
}

// epilogue checks what the connection of c says of its loss.
func epilogue(t *testing.T, tr *Tracker, episodes, spurious uint32, cost time.Duration) {
	t.Helper()
	for k := range tr.Open {
		if k.Episodes != episodes || k.SpuriousEpisodes != spurious || k.EpisodeTime != cost {
			t.Errorf("%d episodes, %d spurious, %v; want %d, %d, %v", k.Episodes, k.SpuriousEpisodes, k.EpisodeTime, episodes, spurious, cost)
		}
	}
}

// tellLoss tells of the loss alone.
func tellLoss(tr *Tracker, parts ...any) []string {
	var loss []string
	for _, l := range tell(tr, events(parts...)) {
		if strings.Contains(l, " episode ") {
			loss = append(loss, l)
		}
	}
	return loss
}

// A lost tail: probe, timeouts that double, then the ACK.
func TestEpisode_TailLost(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tell(tr, events(
		c.connected(1*s),
		c.tlp(2*s, 100),
		c.congestion(2200*ms, caLoss), c.rto(2200*ms, 100, 200),
		c.congestion(2600*ms, caLoss), c.rto(2600*ms, 100, 400),
		c.congestion(2650*ms, caOpen),
	)), connectedTold+`
		2s client/c1:4000 retransmitted tlp
		2.2s client/c1:4000 retransmitted rto
		2.6s client/c1:4000 retransmitted rto
		2.65s client/c1:4000 episode recovered 650ms tlp rto@200 rto@400 lost=data`)
	epilogue(t, tr, 1, 0, 650*ms)
}

// A timeout without a probe: the timer's own time is lost, too.
func TestEpisode_TimeoutCountsItsTimer(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr,
		c.connected(1*s),
		c.congestion(3*s, caLoss), c.rto(3*s+5*us, 100, 300), c.recovery(3*s+1*ms, 200), c.recovery(3*s+1*ms, 300),
		c.congestion(3*s+2*ms, caOpen),
	), `3.002s client/c1:4000 episode recovered 302ms rto@300 recovery*2 lost=data`)
	epilogue(t, tr, 1, 0, 302*ms)
}

func TestEpisode_FastRetransmit(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr,
		c.connected(1*s),
		c.congestion(2*s, caDisorder),
		c.congestion(2*s+1*ms, caRecovery), c.fast(2*s+1*ms, 100), c.fast(2*s+1*ms, 300), c.fast(2*s+2*ms, 500),
		c.congestion(2*s+31*ms, caOpen),
	), `2.031s client/c1:4000 episode recovered 30ms fast*3 lost=data`)
}

// Recovery in which the copy is lost, too: one episode until all is there.
func TestEpisode_FastThenTimeout(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr,
		c.connected(1*s),
		c.congestion(2*s, caRecovery), c.fast(2*s, 100), first(c.fast(2*s+10*ms, 300)),
		c.congestion(2*s+300*ms, caLoss), c.rto(2*s+300*ms, 500, 200),
		c.congestion(2*s+310*ms, caOpen),
	), `2.31s client/c1:4000 episode recovered 310ms fast*2 rto@200 lost=data`)
}

// All ACKs were lost, as recorded on a live kernel: of a probe and three
// timeouts each was needless, and one DSACK came through.
func TestEpisode_ACKsLost(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr,
		c.connected(1*s),
		c.tlp(2*s, 100),
		c.congestion(2200*ms, caLoss), c.rto(2200*ms, 100, 200),
		c.congestion(2600*ms, caLoss), c.rto(2600*ms, 100, 400),
		c.congestion(3400*ms, caLoss), c.rto(3400*ms, 100, 800),
		dsacks(1, c.congestion(3401*ms, caOpen)),
	), `3.401s client/c1:4000 episode recovered 1.401s tlp rto@200 rto@400 rto@800 lost=acks needless=1`)
	epilogue(t, tr, 1, 1, 1401*ms)
}

// The kernel finds by time stamps that nothing was lost, before a DSACK comes.
func TestEpisode_Undone(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr,
		c.connected(1*s),
		c.congestion(2*s, caLoss), c.rto(2*s, 100, 200),
		undone(c.congestion(2*s+30*ms, caOpen)),
	), `2.03s client/c1:4000 episode recovered 230ms rto@200 lost=acks`)
	epilogue(t, tr, 1, 1, 230*ms)
}

// Of three segments that were sent again the peer had one.
func TestEpisode_DataAndACKsLost(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr,
		c.connected(1*s),
		dsacks(4, c.congestion(2*s, caRecovery)), dsacks(4, c.fast(2*s, 100)), dsacks(4, c.fast(2*s, 200)), dsacks(4, c.fast(2*s, 300)),
		dsacks(5, c.congestion(2*s+30*ms, caOpen)),
	), `2.03s client/c1:4000 episode recovered 30ms fast*3 lost=both needless=1`)
}

// A probe that repaired the loss: the kernel slows down and says so, with the
// first ACK of what was sent later.
func TestEpisode_ProbeRepairs(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr,
		c.connected(1*s),
		c.tlp(2*s, 100), c.congestion(2*s+20*ms, caCWR), c.congestion(2*s+20*ms, caOpen),
	), `2.02s client/c1:4000 episode recovered >=0s tlp lost=data`)
}

// A probe of which nothing more is heard: had it not been acknowledged, the
// timer would have run out.
func TestEpisode_ProbeThenQuiet(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr, c.connected(1*s), c.tlp(2*s, 100), c.event(event.Used, 2400*ms)), ``)
	var lines []string
	emit := func(ch *Change) { lines = append(lines, line(ch)) }
	tr.Advance(event.Time(2500*ms), emit)
	expect(t, lines, ``)
	tr.Advance(event.Time(2501*ms), emit)
	expect(t, lines, `2.5s client/c1:4000 episode recovered >=0s tlp`)
	epilogue(t, tr, 1, 0, 0)
}

// Two probes with progress between them are two episodes.
func TestEpisode_ProbesOfTwoLosses(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr,
		c.connected(1*s),
		c.tlp(2*s, 100), first(c.tlp(2100*ms, 200)), c.congestion(2110*ms, caCWR),
	), `
		2.1s client/c1:4000 episode recovered >=0s tlp
		2.11s client/c1:4000 episode recovered >=0s tlp lost=data`)
}

// A timeout of what lies behind the last probe is of another loss, which began
// with the kernel's step into Loss.
func TestEpisode_ProbeThenAnotherLoss(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr,
		c.connected(1*s),
		c.tlp(2*s, 100),
		c.congestion(2300*ms, caLoss), c.rto(2300*ms+10*us, 200, 200), c.congestion(2310*ms, caOpen),
	), `
		2.30001s client/c1:4000 episode recovered >=0s tlp
		2.31s client/c1:4000 episode recovered 210ms rto@200 lost=data`)
}

// Linux 5.10 does not tell of the congestion state: an episode ends when the
// timer would have run out again, or with a segment sent in another state.
func TestEpisode_WithoutTheKernelsWord(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr,
		c.connected(1*s),
		c.rto(2*s, 100, 200), c.recovery(2*s+30*ms, 200),
		c.rto(10*s, 700, 200), c.rto(10400*ms, 700, 400),
		c.tlp(10500*ms, 900), c.event(event.Used, 60*s),
	), `
		2.53s client/c1:4000 episode recovered >=230ms rto@200 recovery
		10.5s client/c1:4000 episode recovered >=600ms rto@200 rto@400
		11s client/c1:4000 episode recovered >=0s tlp`)
	epilogue(t, tr, 3, 0, 830*ms)
}

// The peer is gone: the timer doubles until the connection is given up.
func TestEpisode_Dies(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tellLoss(tr,
		c.connected(1*s),
		c.congestion(2*s, caLoss), c.rto(2*s, 100, 200), c.congestion(2400*ms, caLoss), c.rto(2400*ms, 100, 400),
		failing(event.ETIMEDOUT, c.state(3200*ms, tcp.Established, tcp.Close)),
	), `3.2s client/c1:4000 episode failed 1.4s rto@200 rto@400`)
}

// The lost FIN of who closes first, by probe and timeout.
func TestEpisode_FINLost(t *testing.T) {
	c := aClient
	tr := New(Options{})
	fin := func(at time.Duration, x event.Retransmission) *event.Event {
		x.Seq, x.Flags, x.Segments, x.Head = 100, 0x11, 1, true
		return c.retransmit(at, tcp.FinWait1, x)
	}
	expect(t, tellLoss(tr,
		c.connected(1*s), c.state(2*s, tcp.Established, tcp.FinWait1),
		fin(2020*ms, event.Retransmission{Pending: 5, RTOms: 200}),
		c.congestion(2220*ms, caLoss), fin(2220*ms, event.Retransmission{CAState: caLoss, Retransmits: 1, RTOms: 200}),
		c.congestion(2221*ms, caOpen), c.state(2221*ms, tcp.FinWait1, tcp.FinWait2),
	), `2.221s client/c1:4000 episode recovered 201ms fin@200*2`)
	for k := range tr.Open {
		if k.Retransmits != [NumClasses]uint32{ClassFIN: 2} {
			t.Errorf("counted %v", k.Retransmits)
		}
	}

	tr = New(Options{}) // as on 5.10: the state alone tells
	expect(t, tellLoss(tr,
		c.connected(1*s), c.state(2*s, tcp.Established, tcp.FinWait1),
		fin(2020*ms, event.Retransmission{Pending: 5, RTOms: 200}),
		c.state(2030*ms, tcp.FinWait1, tcp.FinWait2),
	), `2.03s client/c1:4000 episode recovered 10ms fin@200`)
}

// SYN and SYN-ACK: from the SYN to the end of the handshake.
func TestEpisode_Handshake(t *testing.T) {
	c, v := aClient, aServer
	syn := event.Retransmission{CAState: caLoss, Retransmits: 1, Flags: 2, RTOms: 1000, Segments: 1, Head: true}
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		2s client/c1:4000 retransmitted syn
		1.5s server/51:80 LISTEN>SYN_RECV ?
		2.5s server/51:80 retransmitted synack
		2.501s client/c1:4000 episode recovered 1.501s syn@1000
		2.501s client/c1:4000 SYN_SENT>ESTABLISHED 1.501s
		2.502s server/51:80 episode recovered 1.002s synack
		2.502s server/51:80 SYN_RECV>ESTABLISHED 1.002s
		16m40s client/c1:4000 ended open SYN_SENT=1.501s ESTABLISHED=...
		16m40s server/51:80 ended open SYN_RECV=1.002s ESTABLISHED=...`,
		c.state(1*s, tcp.Close, tcp.SynSent), c.bound(1*s),
		c.retransmit(2*s, tcp.SynSent, syn),
		v.request(1500*ms), v.event(event.RetransmitSynAck, 2500*ms),
		c.congestion(2501*ms, caOpen), c.state(2501*ms, tcp.SynSent, tcp.Established),
		v.state(2502*ms, tcp.SynRecv, tcp.Established),
	)
}

// What the trace's end cuts is told as open.
func TestEpisode_OpenAtTheEnd(t *testing.T) {
	c := aClient
	tr := New(Options{})
	tell(tr, events(c.connected(1*s), c.congestion(2*s, caLoss), c.rto(2*s, 100, 200)))
	expect(t, finish(tr, 3*s), `
		3s client/c1:4000 episode open >=1.2s rto@200
		3s client/c1:4000 ended open SYN_SENT=1ms ESTABLISHED=...`)
}

// A connection first known in the middle of its loss.
func TestEpisode_OfAnUnknownConnection(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tell(tr, events(c.congestion(1*s, caOpen))), ``) // of a loss before the trace
	expect(t, tell(tr, events(c.congestion(2*s, caRecovery), c.fast(2*s, 100), c.congestion(2100*ms, caOpen))), `
		2s unknown/c1:4000 retransmitted fast
		2.1s unknown/c1:4000 episode recovered 100ms fast lost=data`)
}

// A chain that is too long keeps its begin, and counts what it leaves out.
func TestEpisode_ChainIsBounded(t *testing.T) {
	c := aClient
	tr := New(Options{})
	var e *LossEpisode
	emit := func(ch *Change) {
		if ch.Kind == Episode {
			e = ch.Episode.Clone()
		}
	}
	for _, ev := range events(c.connected(1 * s)) {
		tr.Handle(ev, emit)
	}
	for i := range 50 {
		tr.Handle(c.rto(2*s+time.Duration(i)*10*ms, 100, uint32(i+1)), emit)
	}
	tr.Handle(failing(event.ETIMEDOUT, c.state(9*s, tcp.Established, tcp.Close)), emit)
	if len(e.Chain) != maxLinks || e.ChainCut != 50-maxLinks || e.Segments != 50 || e.Chain[0].RTOms != 1 {
		t.Errorf("%d links from %v, %d cut, %d segments", len(e.Chain), e.Chain[0], e.ChainCut, e.Segments)
	}
}

// What was not sent is counted as the kernel counts it: what it gave up early is
// not, what the network layer dropped is.
func TestTracker_CountsWhatWasNotSent(t *testing.T) {
	c := aClient
	tr := New(Options{})
	try := func(at time.Duration, err int16, total uint32) *event.Event {
		ev := c.rto(at, 100, 200)
		ev.Retransmission.Err, ev.Retransmission.Total = err, total
		return ev
	}
	counts := []uint32{}
	for _, ev := range events(c.connected(1*s), try(2*s, -11, 0), try(3*s, -1, 1), try(4*s, 0, 2), try(5*s, -113, 2), try(6*s, -113, 3)) {
		tr.Handle(ev, func(ch *Change) {
			if ch.Kind == Retransmitted {
				counts = append(counts, ch.Segments)
			}
		})
	}
	if got := fmt.Sprint(counts); got != "[0 1 1 0 1]" {
		t.Errorf("counted %s", got)
	}
	for k := range tr.Open {
		if k.Resent() != 3 || k.Retransmits[ClassUnsent] != 2 {
			t.Errorf("counted %v", k.Retransmits)
		}
	}
}

// Loss on many connections needs no more memory once it has been there.
func TestEpisode_SteadyStateAllocatesNothing(t *testing.T) {
	tr := New(Options{Reuse: true})
	emit := func(*Change) {}
	for i := range 100 {
		for _, ev := range numbered(i).connected(1 * s) {
			tr.Handle(ev, emit)
		}
	}
	at := 2 * s
	template := [...]*event.Event{
		aClient.tlp(0, 100), aClient.congestion(200*ms, caLoss), aClient.rto(200*ms, 100, 200), aClient.recovery(201*ms, 200), aClient.congestion(210*ms, caOpen),
		aClient.tlp(300*ms, 500),
	}
	var ev event.Event
	storm := func() {
		at += 10 * s
		for _, like := range template {
			for i := range 100 {
				ev = *like
				ev.ID = numbered(i).id
				ev.Time += event.Time(at)
				tr.Handle(&ev, emit)
			}
		}
	}
	storm()
	if allocs := testing.AllocsPerRun(50, storm); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
	if st := tr.Stats(); st.Illegal+st.Missing+st.Late+st.Stray != 0 {
		t.Errorf("after the storm: %+v", st)
	}
}

// To be told how late it is changes neither what is told nor its order.
func TestEpisode_AdvanceChangesNothing(t *testing.T) {
	a, b, c := numbered(1), numbered(2), numbered(3)
	story := events(
		a.connected(1*s), b.connected(1*s), inFinWait2(c),
		a.tlp(2500*ms, 100), b.tlp(2500*ms, 100), a.rto(2700*ms, 100, 200),
		c.state(3190*ms, tcp.FinWait2, tcp.Close), // waits for a moment, in which the loss of b comes to rest
		b.event(event.Used, 3*s), a.event(event.Used, 5*s), b.tlp(6*s, 300), b.event(event.Used, 9*s),
	)
	plain, advanced := New(Options{}), New(Options{})
	var want, got []string
	for _, ev := range story {
		plain.Handle(ev, func(ch *Change) { want = append(want, line(ch)) })
		emit := func(ch *Change) { got = append(got, line(ch)) }
		for at := advanced.now; at < ev.Time; at += event.Time(7 * ms) {
			advanced.Advance(at, emit)
		}
		advanced.Handle(ev, emit)
	}
	if len(want) < 10 {
		t.Fatalf("only %d changes", len(want))
	}
	expect(t, got, strings.Join(want, "\n"))
}
