package diagnose

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

func (w *deadPeerWatcher) describe(x *entry[death], f *Finding) {
	d := &x.data
	f.Severity = Warning
	f.Summary = connections(x.count) + " " + w.whom(x) + " without a sign of life: " + w.signs(x)
	if d.role == conn.Server && x.count < deadMany || d.timedOut == 0 && d.now[silent] == 0 {
		f.Severity = Info
	}
	f.Cause = "what we send is not acknowledged"
	switch {
	case d.timedOut > 0 && d.keepalive == d.timedOut:
		f.Cause = "keepalive probes were not answered"
	case d.keepalive > 0:
		f.Cause = "what we send is not acknowledged, or keepalive probes are not answered"
	case d.now[idle] == int(x.count):
		f.Cause = "the other end, on this host, is over, and no FIN or RST of it came; only keepalive or a write would find that out"
	case d.now[unasked] == int(x.count):
		f.Cause = "nothing was heard for longer than tcp_keepalive_time, and keepalive is off: if the peer is gone, only a write would find that out"
		f.More = "tcptrace snapshot --pid PID --state ESTABLISHED"
	}
	v := (*figures)(&f.Evidence)
	v.count("timed_out", int64(d.timedOut))
	v.some("by_keepalive", int64(d.keepalive))
	v.some("silent", int64(d.now[silent]))
	v.some("idle", int64(d.now[idle]))
	v.some("no_keepalive", int64(d.now[unasked]))
	v.some("answered", int64(d.heard()))
	if since := w.longest(x); since != 0 {
		v.length("oldest", w.e.now.Sub(since))
	}
	v.word("role", d.role.String())
	if d.at.IsValid() {
		v.word("remote", endpoint(d.at))
	}
	tellDrops(f, &d.drops, "segment", "segments", 2*x.count)
	w.e.quote(f, x.key.netns, sysctlRetries2, sysctlKeepaliveTime)
}

// heard counts those that were answered after all.
func (d *death) heard() uint64 { return d.answered + uint64(d.now[answered]) }

// whom says to whom the connections of a cause lead.
func (w *deadPeerWatcher) whom(x *entry[death]) string {
	if !x.data.at.IsValid() {
		return "of clients"
	}
	return "to " + endpoint(x.data.at)
}

// signs says what became of a cause's connections.
func (w *deadPeerWatcher) signs(x *entry[death]) string {
	d := &x.data
	text := digits(d.timedOut) + " given up (ETIMEDOUT), " + digits(d.now[silent]) + " still trying"
	rest := int64(x.count) - int64(d.timedOut) - int64(d.now[silent])
	for _, more := range []struct {
		n    int64
		what string
	}{
		{int64(d.now[idle]), " idle"},
		{int64(d.now[unasked]), " idle for long, without keepalive"},
		{int64(d.heard()), " answered after all"},
	} {
		if more.n > 0 {
			text += ", " + digits(more.n) + more.what
		}
		rest -= more.n
	}
	if rest > 0 {
		text += ", " + digits(rest) + " ended otherwise"
	}
	return text
}

// lonely counts those that have no peer, as it seems, now.
func (d *death) lonely() int { return d.now[silent] + d.now[idle] + d.now[unasked] }

// longest returns since when the first of those that try, or idle, has had no
// peer; 0 where there are none.
func (w *deadPeerWatcher) longest(x *entry[death]) (since event.Time) {
	if x.data.lonely() == 0 {
		return 0
	}
	for _, d := range w.dying {
		if d.of == x && d.sign != answered && (since == 0 || d.since < since) {
			since = d.since
		}
	}
	return since
}

// sockets yields those that try, or idle, in any order.
func (w *deadPeerWatcher) sockets(x *entry[death], yield func(event.ID) bool) {
	if x.data.lonely() == 0 {
		return
	}
	for id, d := range w.dying {
		if d.of == x && d.sign != answered && !yield(id) {
			return
		}
	}
}
