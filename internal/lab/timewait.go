//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// timeWait is how long TIME_WAIT lasts (TCP_TIMEWAIT_LEN). The timer's wheel
// may add some seconds, never take any.
const timeWait = 60 * time.Second

func timeWaitStories() []Story {
	return []Story{{
		Name:     "time-wait-expiry",
		Doc:      "TIME_WAIT lasts its 60 s",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		Takes:    timeWait + 2*time.Second,
		play:     playExpiry,
	}, {
		Name:     "time-wait-netns-exit",
		Doc:      "the network namespace is deleted with its sockets in TIME_WAIT",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		Hold:     500 * time.Millisecond,
		MaxHold:  50 * time.Second,
		play:     playNetnsExit,
	}, {
		Name:     "time-wait-reuse-connect",
		Doc:      "the client binds and connects from the same port again: the new connection takes TIME_WAIT's 4-tuple. Twice as many connections",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		Hold:     300 * time.Millisecond,
		MaxHold:  50 * time.Second,
		play:     func(ctx context.Context, st *stage) error { return st.reuse(ctx, boundSource, clientFirst) },
	}, {
		Name:     "time-wait-reuse-ephemeral",
		Doc:      "the same, by a connect() that finds no other port free and has tcp_tw_reuse 1. Twice as many connections",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Loopback},
		Hold:     2200 * time.Millisecond,
		MinHold:  2100 * time.Millisecond, // it may be reused when its time, in seconds, is a past one (tcp_twsk_unique)
		MaxHold:  50 * time.Second,
		sysctls: [][2]string{
			{"net.ipv4.tcp_tw_reuse", "1"},
			{"net.ipv4.ip_local_port_range", "40000 40000"},
			{"?net.ipv6.ip_nonlocal_bind", "1"},
		},
		play: playReuseEphemeral,
	}, {
		Name:     "time-wait-reuse-syn",
		Doc:      "the server is in TIME_WAIT, and the client's next SYN from the same port takes it. Twice as many connections",
		Client:   path(opened, closesSecond),
		Server:   path(accepted, closesFirst),
		Networks: everywhere,
		Hold:     300 * time.Millisecond,
		MaxHold:  50 * time.Second,
		play:     func(ctx context.Context, st *stage) error { return st.reuse(ctx, boundSource, serverFirst) },
	}, {
		Name:     "time-wait-reset",
		Doc:      "a late copy of the client's last ACK meets a closed server, whose RST ends the client's TIME_WAIT (RFC 1337)",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Wire},
		Hold:     300 * time.Millisecond,
		MaxHold:  50 * time.Second,
		sysctls:  [][2]string{{"net.ipv4.tcp_rfc1337", "0"}},
		play:     playTimeWaitReset,
	}, {
		Name:     "time-wait-overflow",
		Doc:      "tcp_max_tw_buckets is half the connections: the others skip TIME_WAIT and go from FIN_WAIT2 to CLOSE",
		Rule:     "time-wait-overflow",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		play:     playOverflow,
	}}
}

// clientFirst and serverFirst say who closes first, for closeInOrder.
func clientFirst(pr *pair) (first, second *socket) { return pr.client, pr.server }
func serverFirst(pr *pair) (first, second *socket) { return pr.server, pr.client }

// waiting makes N connections of which one end is in TIME_WAIT when it
// returns, and says when that began. source, if not nil, gives the i-th its
// source.
func (st *stage) waiting(ctx context.Context, source func(*stage, int) netip.AddrPort, order func(*pair) (first, second *socket)) ([]*pair, []bracket, error) {
	pairs, brackets := make([]*pair, st.p.N), make([]bracket, st.p.N)
	for i := range pairs {
		var from netip.AddrPort
		if source != nil {
			from = source(st, i)
		}
		pr, err := st.open(ctx, from)
		if err != nil {
			return nil, nil, err
		}
		first, second := order(pr)
		brackets[i].begunAfter = time.Now()
		if err := closeBoth(ctx, first, second); err != nil {
			return nil, nil, err
		}
		st.ended(pr, "fin", "fin").TimeWaitCause = "netns_exit"
		pairs[i] = pr
	}
	if err := st.await(ctx, census{tcp.TimeWait: st.p.N}); err != nil {
		return nil, nil, err
	}
	all := time.Now()
	for i := range brackets {
		brackets[i].begunBefore = all
	}
	return pairs, brackets, nil
}

func playExpiry(ctx context.Context, st *stage) error {
	if err := st.listen(); err != nil {
		return err
	}
	pairs, brackets, err := st.waiting(ctx, nil, clientFirst)
	if err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	if err := st.await(ctx, census{}); err != nil {
		return err
	}
	gone := time.Now()
	for i, pr := range pairs {
		brackets[i].endedBefore = gone
		c := st.conn(pr)
		c.TimeWaitCause = "expired"
		c.ClientStays = []Stay{brackets[i].atLeast(timeWait-tick, tcp.TimeWait)}
	}
	return nil
}

func playNetnsExit(ctx context.Context, st *stage) error {
	if err := st.listen(); err != nil {
		return err
	}
	pairs, brackets, err := st.waiting(ctx, nil, clientFirst)
	if err != nil {
		return err
	}
	if err := st.stay(ctx); err != nil {
		return err
	}
	end := time.Now()
	st.whenGone = func(gone time.Time) {
		for i, pr := range pairs {
			brackets[i].endedAfter, brackets[i].endedBefore = end, gone
			st.conn(pr).ClientStays = []Stay{brackets[i].stay(tcp.TimeWait)}
		}
	}
	return nil
}

// playTimeWaitReset keeps copies of the clients' last ACKs, those that answer
// the servers' FINs, and delivers them once more when the servers are closed.
func playTimeWaitReset(ctx context.Context, st *stage) error {
	w, bag := st.net.wire, newMailbag()
	finished := map[flow]bool{} // the server has sent its FIN
	w.setRule(func(w *wire, s segment) {
		if s.from == serverSide && s.flags&flagFIN != 0 {
			finished[s.flow()] = true
		}
		if s.from == clientSide && finished[s.flow()] {
			bag.kept[s.flow()] = s.clone()
		}
		w.pass(s)
		if s.flags&flagRST != 0 {
			bag.delivered[s.flow()] = time.Now()
		}
	})
	if err := st.listen(); err != nil {
		return err
	}
	pairs, brackets, err := st.waiting(ctx, nil, clientFirst)
	if err != nil {
		return err
	}
	if err := st.stay(ctx); err != nil {
		return err
	}
	for i, pr := range pairs {
		brackets[i].endedAfter = time.Now()
		w.locked(func() { w.pass(bag.kept[st.conn(pr).flow()]) })
	}
	if err := st.await(ctx, census{}); err != nil {
		return err
	}
	w.locked(func() {
		for i, pr := range pairs {
			c := st.conn(pr)
			c.TimeWaitCause = "reset"
			brackets[i].endedBefore = bag.delivered[c.flow()]
			c.ClientStays = []Stay{brackets[i].stay(tcp.TimeWait)}
		}
	})
	return nil
}

// playOverflow has the clients shut down rather than close, so that their FINs'
// acknowledgement does not ask for a timewait socket yet and all that do not
// get one lose TIME_WAIT, not FIN_WAIT2.
func playOverflow(ctx context.Context, st *stage) error {
	room := st.p.N / 2
	if err := st.net.client.sysctl("net.ipv4.tcp_max_tw_buckets", fmt.Sprint(room)); err != nil {
		return err
	}
	if err := st.listen(); err != nil {
		return err
	}
	for i := range st.p.N {
		pr, err := st.open(ctx, netip.AddrPort{})
		if err != nil {
			return err
		}
		if err := shutBoth(ctx, pr.client, pr.server); err != nil {
			return err
		}
		c := st.ended(pr, "fin", "fin")
		c.TimeWaitCause = "netns_exit"
		if i >= room {
			c.TimeWaitCause, c.ClientEnd = "overflow", "overflow"
			c.ClientStates = names(path(opened, []tcp.State{tcp.FinWait1, tcp.FinWait2, tcp.Close}))
		}
	}
	if err := st.ours(st.p.N - room); err != nil {
		return err
	}
	return st.rest(ctx, room)
}

// shutBoth ends a connection like closeBoth, but the first end keeps its
// socket until it has read the second's end.
func shutBoth(ctx context.Context, first, second *socket) error {
	if err := first.shutdown(); err != nil {
		return err
	}
	if err := second.hearEnd(ctx); err != nil {
		return err
	}
	return closeBoth(ctx, second, first)
}
