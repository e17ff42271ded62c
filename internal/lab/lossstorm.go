//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// stormStories send as many segments again as the machine can, for benchmarks:
// how many is left to it, so Stories does not list them.
func stormStories() []Story {
	return append(append(scopeStories(), receiverStory()), []Story{{
		Name: "retransmit-storm",
		Doc: "the server is gone and comes back, again and again, for hold: the clients send again what they said," +
			" every 4 ms at first (tcp_rto_min_us, tcp_thin_linear_timeouts)",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Veth},
		Count:    997,
		Hold:     3 * time.Second,
		MaxHold:  time.Minute,
		together: true,
		sysctls:  [][2]string{{"?net.ipv4.tcp_rto_min_us", "4000"}, {"net.ipv4.tcp_thin_linear_timeouts", "1"}},
		play:     playRetransmitStorm,
	}, {
		Name: "synack-storm",
		Doc: "copies of the clients' SYNs come to the server as fast as they go, for hold, and it answers each" +
			" (tcp_invalid_ratelimit 0): its SYN-ACKs arrive afterwards",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Wire},
		Hold:     3 * time.Second,
		MaxHold:  20 * time.Second,
		together: true,
		sysctls:  [][2]string{{"net.ipv4.tcp_invalid_ratelimit", "0"}},
		play:     playSYNACKStorm,
	}, {
		Name:     "reset-storm",
		Doc:      "copies of SYNs come to a port where nobody listens as fast as they go, for hold, and a RST answers each",
		Client:   []tcp.State{tcp.Close, tcp.SynSent, tcp.Close},
		Networks: []Network{Wire},
		Hold:     3 * time.Second,
		MaxHold:  20 * time.Second,
		together: true,
		play:     playResetStorm,
	}}...)
}

// outage is how long the server is gone at a time: nine timeouts, six of them
// after 4 ms each.
const outage = 100 * time.Millisecond

func playRetransmitStorm(ctx context.Context, st *stage) error {
	pairs, err := st.openAll(ctx)
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.settle(ctx); err != nil {
			return err
		}
	}
	began, said := time.Now(), 0
	for ; time.Since(began) < st.p.Hold; said++ {
		if err := st.cutOff(ctx, pairs); err != nil {
			return err
		}
	}
	st.truth.Elapsed = time.Since(began)
	counters, err := st.net.client.counters()
	if err != nil {
		return err
	}
	st.truth.Count = len(pairs)
	st.truth.Rate = float64(counters["RetransSegs"]) / st.truth.Elapsed.Seconds()
	if err := st.held(); err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.server.hearAll(ctx, said*len(message)); err != nil {
			return err
		}
	}
	return st.endTogether(ctx, pairs)
}

// cutOff has all clients say something while the server is gone, and waits until
// it has heard them after all.
func (st *stage) cutOff(ctx context.Context, pairs []*pair) error {
	f, err := newPacketFilter(st.net.server)
	if err != nil {
		return err
	}
	f.drop()
	if err := f.apply(); err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.client.say(); err != nil {
			return errors.Join(err, f.remove())
		}
	}
	if err := errors.Join(sleep(ctx, outage), f.remove()); err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := poll(ctx, pr.client.acknowledged); err != nil {
			return err
		}
	}
	return nil
}

// An echo is what a wire does in a storm: it keeps the clients' SYNs, and lets
// none of the server's answers through until it is told to.
type echo struct {
	syns map[flow]segment
	over bool
}

func (e *echo) rule(w *wire, s segment) {
	if s.from == clientSide && s.is(flagSYN, flagSYN) && !e.over {
		if _, known := e.syns[s.flow()]; !known {
			e.syns[s.flow()] = s.clone()
		}
		return
	}
	if e.over {
		w.pass(s)
	}
}

// storm begins N connections, whose SYNs it keeps, and passes these on again and
// again for Hold. Truth.Rate is how many a second.
func (st *stage) storm(ctx context.Context) ([]*pair, error) {
	e := &echo{syns: map[flow]segment{}}
	st.net.wire.lose(newLossWatch(), nil) // copies, too
	st.net.wire.setRule(e.rule)
	pairs, _, err := st.beginAll()
	if err != nil {
		return nil, err
	}
	w := st.net.wire
	var syns []segment
	err = poll(ctx, func() (bool, error) {
		w.locked(func() {
			if len(e.syns) == len(pairs) {
				for _, s := range e.syns {
					syns = append(syns, s)
				}
			}
		})
		return syns != nil, nil
	})
	if err != nil {
		return nil, err
	}
	began, n := time.Now(), 0
	for time.Since(began) < st.p.Hold && ctx.Err() == nil {
		for _, s := range syns {
			w.pass(s)
		}
		n += len(syns)
	}
	st.truth.Elapsed = time.Since(began)
	st.truth.Rate = float64(n) / st.truth.Elapsed.Seconds()
	w.locked(func() { e.over = true })
	for _, s := range syns {
		w.pass(s)
	}
	return pairs, ctx.Err()
}

func playSYNACKStorm(ctx context.Context, st *stage) error {
	if err := st.listen(); err != nil {
		return err
	}
	pairs, err := st.storm(ctx)
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.client.finishConnect(ctx); err != nil {
			return err
		}
	}
	if err := st.held(); err != nil {
		return err
	}
	if err := st.accept(ctx, pairs); err != nil {
		return err
	}
	return st.endTogether(ctx, pairs)
}

func playResetStorm(ctx context.Context, st *stage) error {
	pairs, err := st.storm(ctx)
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := st.fails(ctx, pr, unix.ECONNREFUSED, "refused"); err != nil {
			return err
		}
	}
	return st.held()
}

// hearAll reads n bytes.
func (k *socket) hearAll(ctx context.Context, n int) error {
	b := make([]byte, 4096)
	for got := 0; got < n; {
		m, err := k.readInto(ctx, b)
		if err != nil {
			return err
		}
		if m == 0 {
			return fmt.Errorf("read: the end after %d of %d bytes", got, n)
		}
		got += m
	}
	return nil
}
