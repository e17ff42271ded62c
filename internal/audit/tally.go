package audit

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	// moment is within what events of one system call or packet follow each
	// other.
	moment = time.Millisecond

	// margin is how far a fact's time stamp and the kernel's count of it may be
	// apart: an interrupt may come between the two.
	margin = time.Millisecond

	// forgetAfter is when what waits for a second event to explain it is given
	// up, and maxWaiting how many may wait before that is looked at.
	forgetAfter = time.Second
	maxWaiting  = 1024
)

// A Window is the time that a reading took: what happened within it may be in
// the figures, or not.
type Window struct{ From, To event.Time }

func (w Window) near(t event.Time) bool {
	return t >= w.From.Add(-margin) && t <= w.To.Add(margin)
}

// A Tally counts what the kernel must have counted, for each network
// namespace. It reads no clock: the same events and windows give the same
// figures. It is not safe for concurrent use.
type Tally struct {
	spaces map[uint32]*space
	lost   uint64 // events

	blind  [NumCounters]string
	unsent bool
}

// NewTally returns a Tally that has counted nothing.
func NewTally() *Tally { return &Tally{spaces: map[uint32]*space{}} }

// Begin says that the figures of a namespace were read in w. What happened
// before does not count. A namespace without a begin counts from its first
// event on, as that of a new one does.
func (t *Tally) Begin(netns uint32, w Window) { t.space(netns).begin = w }

// End says that the figures of a namespace were read in w for the second time.
// What happens after it does not count.
func (t *Tally) End(netns uint32, w Window) { t.space(netns).end = w }

// FinTimeout says what tcp_fin_timeout is in a namespace.
func (t *Tally) FinTimeout(netns uint32, d time.Duration) { t.space(netns).finTimeout = d }

func (t *Tally) space(netns uint32) *space {
	s := t.spaces[netns]
	if s == nil {
		s = newSpace()
		t.spaces[netns] = s
	}
	return s
}

// Handle takes in one event. Events come nearly in order of Time.
func (t *Tally) Handle(ev *event.Event) {
	switch ev.Kind {
	case event.Lost:
		t.lost += ev.Loss.Count
		return
	case event.Seen, event.Swept, event.Used, event.Accepted, event.Totals:
		return
	}
	t.space(ev.ID.NetNS).handle(ev)
}

// A tuple names a connection by its addresses.
type tuple struct{ local, remote netip.AddrPort }

func tupleOf(ev *event.Event) tuple { return tuple{ev.Local, ev.Remote} }

// A space is the tally of one network namespace.
type space struct {
	begin, end Window

	count [NumCounters]int64
	edge  [NumCounters]int64 // of these and of what was not counted: within a window
	doubt [NumCounters]doubt

	// closeWaits is the change of the number of sockets in CLOSE_WAIT, which
	// kernels before 6.11 and their stable branches leave out of CurrEstab.
	closeWaits int64

	finTimeout time.Duration // tcp_fin_timeout; 0: not known
	halfClosed int64         // timewait sockets that began in FIN_WAIT2

	// By cookie. Each entry ends with its socket, or with what it waits for.
	connecting map[uint64]struct{}   // in SYN_SENT, and ActiveOpens has counted it
	crossed    map[uint64]struct{}   // in SYN_RECV by a SYN that crossed its own
	timeouts   map[uint64]timeout    // the last retransmission timeout
	giving     map[uint64]giving     // a timewait socket was made, whose full socket is about to close
	skipped    map[uint64]event.Time // closed as if for TIME_WAIT, without a timewait socket: a RST would explain it
	reused     map[tuple]event.Time  // TIME_WAIT that a new connection ended: by a connect() or a SYN

	closed map[uint16]struct{} // ports that were listened on
	resets recentResets

	tellsCongestion bool // the source has Congestion events

	tidied event.Time // when what waits in vain was last looked for
}

// A timeout is the last time at which a socket's retransmission timer ran out.
type timeout struct {
	at  event.Time
	rto time.Duration // then
}

// A giving is a timewait socket just made.
type giving struct {
	at     event.Time
	half   bool // in FIN_WAIT2
	killed bool // counts as TWKilled
}

// A doubt says how many the kernel may have counted more or less than we did,
// by events that can mean two things.
type doubt struct {
	more, less int64
	why        []string
}

func newSpace() *space {
	return &space{
		connecting: map[uint64]struct{}{},
		crossed:    map[uint64]struct{}{},
		timeouts:   map[uint64]timeout{},
		giving:     map[uint64]giving{},
		skipped:    map[uint64]event.Time{},
		reused:     map[tuple]event.Time{},
		closed:     map[uint16]struct{}{},
	}
}

// add counts n at a time.
func (s *space) add(c Counter, n int64, at event.Time) {
	if s.uncertain(at) {
		s.edge[c] += max(n, -n)
	}
	if s.counts(at) {
		s.count[c] += n
	}
}

// lookedAfter is how long before its event a dropped SYN may have been dropped:
// it is found by looking at the listener's count.
const lookedAfter = 200 * time.Millisecond

// addFound counts n that happened some time before they were found, perhaps
// before the first reading. What is found after the last one, as the source
// stops, happened before it as a rule.
func (s *space) addFound(c Counter, n int64, at event.Time) {
	if at <= s.begin.To {
		return
	}
	before := s.begin.To != 0 && at <= s.begin.To.Add(lookedAfter)
	after := s.end.From != 0 && at >= s.end.From
	if before || after {
		s.edge[c] += n
	}
	s.count[c] += n
}

// counts reports whether what happened then lies between the readings.
func (s *space) counts(at event.Time) bool {
	return at > s.begin.To && (s.end.From == 0 || at < s.end.From)
}

func (s *space) uncertain(at event.Time) bool {
	return s.begin.To != 0 && s.begin.near(at) || s.end.From != 0 && s.end.near(at)
}

// may notes that the kernel may have counted so many more (or less, where n
// is negative), and why.
func (s *space) may(c Counter, n int64, at event.Time, why string) {
	if !s.counts(at) {
		return
	}
	d := &s.doubt[c]
	if n > 0 {
		d.more += n
	} else {
		d.less -= n
	}
	if !slices.Contains(d.why, why) {
		d.why = append(d.why, why)
	}
}

func (s *space) handle(ev *event.Event) {
	s.settle(ev.Time)
	switch ev.Kind {
	case event.State:
		s.state(ev)
	case event.Bound:
		s.bound(ev)
	case event.RequestBegin:
		delete(s.reused, tupleOf(ev)) // the peer's SYN did it
	case event.RequestEnd:
		s.requestEnd(ev)
	case event.TimeWaitBegin:
		s.timeWaitBegin(ev)
	case event.TimeWaitEnd:
		s.timeWaitEnd(ev)
	case event.Retransmit:
		s.retransmit(ev)
	case event.Congestion:
		s.congestion(ev)
	case event.RetransmitSynAck:
		s.retransmitSynAck(ev)
	case event.ResetSent:
		s.resetSent(ev)
	case event.RetransmitMore:
		s.retransmitMore(ev)
	case event.ResetMore:
		s.add(OutRsts, int64(ev.Count), ev.Time)
	case event.QueueFull:
		s.queueFull(ev)
	}
}

// settle decides what has waited for its moment.
func (s *space) settle(now event.Time) {
	for cookie, at := range s.skipped {
		if now.Sub(at) > moment {
			s.add(TCPTimeWaitOverflow, 1, at)
			delete(s.skipped, cookie)
		}
	}
	if now.Sub(s.tidied) < forgetAfter {
		return
	}
	s.tidied = now
	if len(s.reused) > maxWaiting {
		for key, at := range s.reused {
			if now.Sub(at) > forgetAfter {
				delete(s.reused, key)
			}
		}
	}
	if len(s.giving) > maxWaiting {
		for cookie, g := range s.giving {
			if now.Sub(g.at) > forgetAfter {
				delete(s.giving, cookie)
			}
		}
	}
}

// finish decides what is left.
func (s *space) finish() {
	for cookie, at := range s.skipped {
		s.add(TCPTimeWaitOverflow, 1, at)
		delete(s.skipped, cookie)
	}
}

// recentResets are the last RSTs sent: some events mean one thing or another
// by whether a RST was sent in the same moment.
type recentResets struct {
	ring []sentReset // of at most maxResets
	next int
}

const maxResets = 256

type sentReset struct {
	at         event.Time
	cookie     uint64
	tuple      tuple
	withoutSYN bool // it answers a packet that carries no SYN
}

func (r *recentResets) add(ev *event.Event) {
	reset := sentReset{
		at: ev.Time, cookie: ev.ID.Cookie, tuple: tupleOf(ev),
		withoutSYN: ev.Reset.Answer && ev.Reset.AnsweredFlags&flagSYN == 0,
	}
	if len(r.ring) < maxResets {
		r.ring = append(r.ring, reset)
	} else {
		r.ring[r.next%maxResets] = reset
	}
	r.next++
}

// find returns whether match holds for a RST of the last moment.
func (r *recentResets) find(now event.Time, match func(*sentReset) bool) bool {
	for i := r.next - 1; i >= 0 && i >= r.next-maxResets; i-- {
		reset := &r.ring[i%maxResets]
		if now.Sub(reset.at) > moment {
			return false
		}
		if match(reset) {
			return true
		}
	}
	return false
}

// endedState reports whether ev is a full socket's way to CLOSE.
func endedState(ev *event.Event) bool { return ev.New == tcp.Close && ev.Old != tcp.Close }
