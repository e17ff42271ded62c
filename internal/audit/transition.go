package audit

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// state counts what tcp_set_state counts, and what its callers do
// (net/ipv4/tcp.c).
func (s *space) state(ev *event.Event) {
	if ev.Old == ev.New {
		return // a second close()
	}
	s.established(ev)
	switch {
	case ev.Old == tcp.SynSent && ev.New == tcp.SynRecv:
		s.crossed[ev.ID.Cookie] = struct{}{}
	case ev.Old == tcp.SynRecv:
		s.leftSynRecv(ev)
	case ev.New == tcp.Listen:
		delete(s.closed, ev.Local.Port())
	case ev.Old == tcp.Listen && ev.New == tcp.Close:
		s.closed[ev.Local.Port()] = struct{}{}
	}
	if endedState(ev) && ev.Old != tcp.Listen {
		s.ended(ev)
	}
	if ev.Old == tcp.SynSent {
		delete(s.connecting, ev.ID.Cookie)
	}
}

// established keeps CurrEstab and EstabResets, by the rules of tcp_set_state.
func (s *space) established(ev *event.Event) {
	switch ev.New {
	case tcp.Established:
		s.add(CurrEstab, 1, ev.Time)
	case tcp.CloseWait:
		if ev.Old == tcp.SynRecv {
			s.add(CurrEstab, 1, ev.Time)
		}
	default:
		if ev.Old == tcp.Established || ev.Old == tcp.CloseWait {
			s.add(CurrEstab, -1, ev.Time)
			if ev.New == tcp.Close {
				s.add(EstabResets, 1, ev.Time)
			}
		}
	}
	if s.counts(ev.Time) {
		switch tcp.CloseWait {
		case ev.New:
			s.closeWaits++
		case ev.Old:
			s.closeWaits--
		}
	}
}

// leftSynRecv counts PassiveOpens, which tcp_create_openreq_child does as it
// makes the full socket; that one leaves SYN_RECV in the same softirq, but for
// TCP Fast Open.
func (s *space) leftSynRecv(ev *event.Event) {
	_, crossed := s.crossed[ev.ID.Cookie]
	delete(s.crossed, ev.ID.Cookie)
	if !crossed {
		s.add(PassiveOpens, 1, ev.Time)
	}
	// Of two ACKs on two processors each makes a socket, and one of these is taken
	// back (inet_ehash_nolisten), which counts no failure.
	if ev.New == tcp.Close && ev.Cause != event.CauseTwin {
		s.failed(ev)
	}
}

// failed counts the end of an attempt. tcp_done counts it; close() and a
// connect() that fails do not: they set the state alone, in the process,
// before there is an error.
func (s *space) failed(ev *event.Event) {
	if ev.Err != 0 || !ev.Task.Known() {
		s.add(AttemptFails, 1, ev.Time)
	} else if _, sent := s.connecting[ev.ID.Cookie]; sent {
		s.may(TCPAbortOnData, 1, ev.Time, "close() of a socket in SYN_SENT counts only if it has SO_LINGER 0, which is not seen")
	}
}

// ended counts what a full socket's end means.
func (s *space) ended(ev *event.Event) {
	switch ev.Old {
	case tcp.SynSent:
		s.failed(ev)
	case tcp.Closing, tcp.LastAck:
		if ev.Task.Known() && ev.Err == 0 {
			s.may(TCPAbortOnData, 1, ev.Time, "close() after a shutdown counts only if the socket has SO_LINGER 0, which is not seen where it sends no RST")
		}
	}
	s.gaveUp(ev)
	s.gaveWay(ev)
	delete(s.timeouts, ev.ID.Cookie)
}

// gaveUp counts TCPAbortOnTimeout (tcp_write_err), and the last of a socket's
// TCPTimeouts, which sends nothing (tcp_retransmit_timer).
func (s *space) gaveUp(ev *event.Event) {
	last, retried := s.timeouts[ev.ID.Cookie]
	switch ev.Err {
	case 0:
		if ev.Cause != event.CauseTimeout {
			return
		}
	case event.ETIMEDOUT:
	case event.EHOSTUNREACH, event.ENETUNREACH:
		// What ICMP said before (sk_err_soft) becomes the error. A SYN's socket
		// ends by ICMP itself, at once.
		if ev.Old == tcp.SynSent {
			if retried {
				const why = "connect() that ends as unreachable, after a retry, may have ended by its timer"
				s.may(TCPAbortOnTimeout, 1, ev.Time, why)
				s.may(TCPTimeouts, 1, ev.Time, why)
			}
			return
		}
	default:
		return
	}
	s.add(TCPAbortOnTimeout, 1, ev.Time)
	if s.resets.find(ev.Time, func(r *sentReset) bool { return r.cookie == ev.ID.Cookie }) {
		return // tcp_keepalive_timer: it sends a RST, and no timeout counts
	}
	switch {
	case retried && ev.Time.Sub(last.at) <= 2*last.rto+time.Second:
		s.add(TCPTimeouts, 1, ev.Time)
	default:
		s.may(TCPTimeouts, 1, ev.Time, "a socket that timed out may have waited for a window (no timeout counts) or for an ACK")
	}
}

// gaveWay counts the timewait socket that took the full one's place
// (__inet_twsk_schedule), or that there was no room for one (tcp_time_wait).
func (s *space) gaveWay(ev *event.Event) {
	given, ok := s.giving[ev.ID.Cookie]
	switch {
	case ok:
		delete(s.giving, ev.ID.Cookie)
		if given.half && s.counts(ev.Time) {
			s.halfClosed++
		}
		if given.killed {
			s.add(TWKilled, 1, ev.Time)
		} else {
			s.add(TW, 1, ev.Time)
		}
	case ev.Err != 0 || ev.Old != tcp.FinWait2 && ev.Old != tcp.Closing:
	case ev.Cause == event.CauseUnseen:
		const why = "this kernel shows no timewait sockets"
		s.add(TW, 1, ev.Time)
		s.may(TW, -1, ev.Time, why)
		s.may(TWKilled, 1, ev.Time, why)
		s.may(TCPTimeWaitOverflow, 1, ev.Time, why)
	case s.resets.find(ev.Time, func(r *sentReset) bool { return r.cookie == ev.ID.Cookie }):
	default:
		s.skipped[ev.ID.Cookie] = ev.Time
	}
}

// bound counts ActiveOpens: the SYN is sent, or was at least tried to
// (tcp_connect).
func (s *space) bound(ev *event.Event) {
	if _, ok := s.connecting[ev.ID.Cookie]; ok {
		return
	}
	s.connecting[ev.ID.Cookie] = struct{}{}
	s.add(ActiveOpens, 1, ev.Time)
	if _, ok := s.reused[tupleOf(ev)]; ok {
		delete(s.reused, tupleOf(ev))
		s.add(TWRecycled, 1, ev.Time)
	}
}

// shortest is the longest life of a timewait socket that counts as TWKilled.
const shortest = 4 * time.Second

// timeWaitBegin notes that a full socket is about to give way to a timewait
// socket. Where only the timer was set anew, no full socket closes.
func (s *space) timeWaitBegin(ev *event.Event) {
	life := ev.Left
	if ev.New != tcp.FinWait2 {
		life = 0 // always 60 s
	} else if life == 0 {
		life = s.finTimeout
	}
	s.giving[ev.ID.Cookie] = giving{at: ev.Time, half: ev.New == tcp.FinWait2, killed: life > 0 && life <= shortest}
}

// timeWaitEnd notes an end by a new connection: TWRecycled counts if that is
// one of this host's own (__inet_check_established).
func (s *space) timeWaitEnd(ev *event.Event) {
	delete(s.giving, ev.ID.Cookie)
	if ev.Cause == event.CauseReused {
		s.reused[tupleOf(ev)] = ev.Time
	}
}
