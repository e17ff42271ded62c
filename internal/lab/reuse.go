//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// boundSource gives the i-th connection a port of its own.
func boundSource(st *stage, i int) netip.AddrPort {
	return netip.AddrPortFrom(st.net.clientAddr, uint16(firstPort+i))
}

// loneSource gives the i-th connection an address of its own, and connect()
// the choice of the port.
func loneSource(st *stage, i int) netip.AddrPort {
	return netip.AddrPortFrom(sourceAddr(i, st.p.IPv6), 0)
}

func playReuseEphemeral(ctx context.Context, st *stage) error {
	if st.p.IPv6 {
		if err := st.net.client.do(routeToSelf); err != nil {
			return fmt.Errorf("make the source addresses local: %w", err)
		}
	}
	return st.reuse(ctx, loneSource, clientFirst)
}

// reuse makes N connections and, Hold later, N more from the same sources,
// each of which takes the 4-tuple that one of the first has in TIME_WAIT.
func (st *stage) reuse(ctx context.Context, source func(*stage, int) netip.AddrPort, order func(*pair) (first, second *socket)) error {
	if err := st.listen(); err != nil {
		return err
	}
	old, brackets, err := st.waiting(ctx, source, order)
	if err != nil {
		return err
	}
	if err := st.stay(ctx); err != nil {
		return err
	}
	for i := range old {
		brackets[i].endedAfter = time.Now()
		pr, err := st.connect(ctx, source(st, i))
		if err != nil {
			return err
		}
		brackets[i].endedBefore = time.Now()
		if err := st.tookOver(old[i], pr, brackets[i]); err != nil {
			return err
		}
		if err := pr.exchange(ctx); err != nil {
			return err
		}
		first, second := order(pr)
		if err := closeBoth(ctx, first, second); err != nil {
			return err
		}
		st.ended(pr, "fin", "fin").TimeWaitCause = "netns_exit"
	}
	return st.rest(ctx, st.p.N)
}

// tookOver notes that the new connection has ended the old one's TIME_WAIT.
func (st *stage) tookOver(old, new *pair, b bracket) error {
	was, is := st.conn(old), st.conn(new)
	if was.flow() != is.flow() {
		return fmt.Errorf("reuse %v: connected from %v", was.Client, is.Client)
	}
	was.TimeWaitCause = "reused"
	stay := []Stay{b.stay(tcp.TimeWait)}
	if was.ServerStates[len(was.ServerStates)-2] == tcp.TimeWait.String() {
		was.ServerStays = stay
	} else {
		was.ClientStays = stay
	}
	return nil
}
