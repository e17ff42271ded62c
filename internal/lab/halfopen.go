//go:build linux

package lab

import (
	"context"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A mailbag keeps, of each flow, the last segment that a rule held back, and
// when what the rule waits for was delivered.
type mailbag struct {
	kept      map[flow]segment
	delivered map[flow]time.Time
}

func newMailbag() *mailbag {
	return &mailbag{kept: map[flow]segment{}, delivered: map[flow]time.Time{}}
}

// playResetInHandshake holds the SYN-ACKs back until the clients are gone.
func playResetInHandshake(ctx context.Context, st *stage) error {
	w, bag := st.net.wire, newMailbag()
	w.setRule(func(w *wire, s segment) {
		if s.is(flagSYN|flagACK, flagSYN|flagACK) {
			bag.kept[s.flow()] = s.clone()
			return
		}
		w.pass(s)
		if s.flags&flagRST != 0 {
			bag.delivered[s.flow()] = time.Now()
		}
	})
	pairs, brackets, err := st.halfOpenAll(ctx, census{tcp.SynSent: st.p.N, tcp.SynRecv: st.p.N})
	if err != nil {
		return err
	}
	if err := st.stay(ctx); err != nil {
		return err
	}
	for i, pr := range pairs {
		if err := pr.client.close(); err != nil {
			return err
		}
		brackets[i].endedAfter = time.Now()
		w.locked(func() { w.pass(bag.kept[st.conn(pr).flow()]) })
	}
	if err := st.await(ctx, census{}); err != nil {
		return err
	}
	w.locked(func() {
		for i, pr := range pairs {
			c := st.ended(pr, "", "reset_received")
			c.RequestCause = "reset"
			brackets[i].endedBefore = bag.delivered[c.flow()]
			c.ServerStays = []Stay{brackets[i].stay(tcp.SynRecv)}
		}
	})
	return nil
}

// halfOpenAll sends all SYNs and waits until there is what want says. The
// brackets are those of SYN_RECV.
func (st *stage) halfOpenAll(ctx context.Context, want census) ([]*pair, []bracket, error) {
	if err := st.listen(); err != nil {
		return nil, nil, err
	}
	pairs, brackets, err := st.beginAll()
	if err != nil {
		return nil, nil, err
	}
	if err := st.await(ctx, want); err != nil {
		return nil, nil, err
	}
	all := time.Now()
	for i := range brackets {
		brackets[i].begunBefore = all
	}
	return pairs, brackets, nil
}

// playAbandoned loses the SYN-ACKs. The clients close before they would send
// their SYNs again.
func playAbandoned(ctx context.Context, st *stage) error {
	st.net.wire.setRule(func(w *wire, s segment) {
		if s.from == clientSide {
			w.pass(s)
		}
	})
	pairs, brackets, err := st.halfOpenAll(ctx, census{tcp.SynSent: st.p.N, tcp.SynRecv: st.p.N})
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.client.close(); err != nil {
			return err
		}
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
		c := st.ended(pr, "", "timeout")
		c.RequestCause = "timeout"
		c.ServerStays = []Stay{brackets[i].atLeast(synTimeout, tcp.SynRecv)}
	}
	return nil
}
