package conn

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// leave handles a full socket's transition to CLOSE.
func (t *Tracker) leave(r *record, ev *event.Event) {
	if t.doubtful(r, ev) {
		t.doubtClose(r, ev)
		return
	}
	t.closed(r, ev, ev.Cause)
}

// closed ends r with its full socket.
func (t *Tracker) closed(r *record, ev *event.Event, cause event.Cause) {
	if r.listening && ev.Task.Known() {
		t.resets.listenerClosed(r, ev)
	}
	r.Err = ev.Err
	r.End = endOfSocket(r, ev, cause)
	r.setCloser(ev, r.End)
	s := stepOf(ev)
	s.cause = cause
	t.conclude(r, s)
}

// conclude makes r's last transition, s, and ends it. r.End is set.
func (t *Tracker) conclude(r *record, s step) {
	mini := r.mini
	t.step(r, s)
	r.mini = mini
	if r.State != tcp.Close {
		r.End, r.Err = EndUnknown, 0 // s was late: of something else
		return
	}
	r.Closed = r.Since
	t.over(r, s.time, true)
}

// over emits Ended for r at at and takes it out of the live ones.
func (t *Tracker) over(r *record, at event.Time, remember bool) {
	r.explained()
	if r.episode != nil {
		t.closeEpisode(r, at)
	}
	if !r.Listener() {
		t.emit(t.plain(Ended, at, r))
	}
	t.stats.States[r.State]--
	if r.listening {
		t.listeners.add(r, -1)
	}
	t.index.retire(r, remember)
}

// evict drops r to make room.
func (t *Tracker) evict(r *record) {
	t.release(r)
	if r.doubt != nil {
		t.settle(r.doubt)
	}
	if r.dead {
		return
	}
	t.stats.Evicted++
	r.spoil()
	t.over(r, t.now, false)
}

// endOfSocket tells how a full socket ended that went to CLOSE as ev says.
// The order of the questions is from the surest evidence to the weakest.
func endOfSocket(r *record, ev *event.Event, cause event.Cause) End {
	switch ev.Err {
	case event.ETIMEDOUT:
		return EndTimeout
	case event.ECONNABORTED: // tcp_abort
		return EndAborted
	case event.ECONNREFUSED:
		return EndRefused
	}
	if r.resetReceived {
		if ev.Old == tcp.SynSent {
			return EndRefused
		}
		return EndResetReceived
	}
	if r.resetSent {
		return EndResetSent
	}
	switch ev.Err {
	case 0:
		if ev.Cause == event.CauseTimeout {
			return EndTimeout
		}
		return endWithoutError(r, ev, cause)
	case event.ECONNRESET, event.EPIPE: // tcp_reset
		return EndResetReceived
	case event.EHOSTUNREACH, event.ENETUNREACH, event.EHOSTDOWN, event.ENETDOWN, event.ENONET:
		return EndUnreachable
	}
	return EndError
}

func endWithoutError(r *record, ev *event.Event, cause event.Cause) End {
	switch ev.Old {
	case tcp.LastAck, tcp.TimeWait:
		return EndFIN
	case tcp.SynSent:
		switch {
		case !whole(r.Local):
			return EndUnsent
		case !ev.Task.Known():
			return EndUnreachable // tcp_v4_err; the process has taken the error before
		}
		return EndAbandoned
	case tcp.FinWait2, tcp.Closing:
		// A RST would have been seen: see doubtful.
		if cause == event.CauseOverflow {
			return EndOverflow
		}
		return EndUnknown
	case tcp.Established, tcp.SynRecv, tcp.FinWait1, tcp.CloseWait:
		// close() or disconnect() in these states, without an error, sends a
		// RST right after (tcp_need_reset).
		return EndResetSent
	}
	return EndUnknown
}

// endOfRequest tells how a handshake ended that did not get a full socket.
func endOfRequest(r *record, cause event.Cause) End {
	switch cause {
	case event.CauseTimeout, event.CauseExpired:
		return EndTimeout
	case event.CauseReset:
		if r.resetSent {
			return EndResetSent
		}
		return EndResetReceived
	case event.CauseOverflow: // tcp_check_req, with tcp_abort_on_overflow
		return EndResetSent
	case event.CauseKilled, event.CauseNetnsExit:
		return EndAborted
	}
	return EndUnknown
}

// endOfTimeWait tells how a connection ended whose timewait socket was in
// state old.
func endOfTimeWait(r *record, old tcp.State, cause event.Cause) End {
	if old == tcp.TimeWait {
		return EndFIN
	}
	switch cause {
	case event.CauseExpired:
		return EndFinWait2Timeout
	case event.CauseReset, event.CauseUnknown:
		if r.resetSent { // data came that nobody can read
			return EndResetSent
		}
		if cause == event.CauseReset {
			return EndResetReceived
		}
	case event.CauseKilled, event.CauseNetnsExit:
		return EndAborted
	}
	return EndUnknown
}
