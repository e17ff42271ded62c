//go:build linux

package lab

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Bounds and defaults of churn.
const (
	churnThreads    = 2
	maxChurnThreads = 64
	churnDuration   = 2 * time.Second
	maxChurn        = 10 * time.Minute

	// churnSources addresses by 28,232 ephemeral ports are more 4-tuples than
	// TIME_WAIT can hold in its 60 s.
	churnSources = 8000
)

func churnStories() []Story {
	return []Story{{
		Name:     "churn",
		Doc:      "short connections, two bytes each way, as fast as they go or at a rate, from 8,000 loopback addresses; for benchmarks",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Loopback},
		endless:  true,
		sysctls: [][2]string{
			{"net.ipv4.tcp_max_tw_buckets", "1048576"},
			{"?net.ipv6.ip_nonlocal_bind", "1"}, // so that ::1's like need no 8,000 addresses
		},
		play: playChurn,
	}}
}

func completeChurn(p *Params) error {
	if p.Duration == 0 {
		p.Duration = churnDuration
	}
	if p.Threads == 0 {
		p.Threads = churnThreads
	}
	switch {
	case p.N < 0:
		return fmt.Errorf("%d connections: none to any number can be made", p.N)
	case p.Rate < 0:
		return fmt.Errorf("rate %d: it is connections per second, 0 for as many as go", p.Rate)
	case p.Threads < 1 || p.Threads > maxChurnThreads:
		return fmt.Errorf("%d threads: 1 to %d are possible", p.Threads, maxChurnThreads)
	case p.Duration < 0 || p.Duration > maxChurn:
		return fmt.Errorf("duration %v: up to %v is possible", p.Duration, maxChurn)
	case p.Hold != 0:
		return fmt.Errorf("hold %v: it holds no state", p.Hold)
	}
	return nil
}

// A churn is a run of the generator. Its threads live in the namespace and use
// blocking sockets whose every wait is bounded.
type churn struct {
	st    *stage
	until time.Time
	begun atomic.Int64 // connections that a client has set out to make
	made  atomic.Int64 // connections that ran to their end
	stop  chan struct{}
	once  sync.Once
	err   error // why it stopped early
}

func playChurn(ctx context.Context, st *stage) error {
	if st.p.IPv6 {
		if err := st.net.client.do(routeToSelf); err != nil {
			return fmt.Errorf("make the source addresses local: %w", err)
		}
	}
	if err := st.listen(); err != nil {
		return err
	}
	began := time.Now()
	c := &churn{st: st, until: began.Add(st.p.Duration), stop: make(chan struct{})}
	if err := c.run(ctx, began); err != nil {
		return err
	}
	st.truth.Elapsed = time.Since(began)
	st.truth.Count = int(c.made.Load())
	st.truth.Rate = float64(st.truth.Count) / st.truth.Elapsed.Seconds()
	if err := st.settle(ctx); err != nil {
		return err
	}
	return st.held()
}

// settle waits until nothing but TIME_WAIT is left.
func (st *stage) settle(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		got, err := st.census()
		got[tcp.TimeWait] = 0
		return got == census{}, err
	})
}

func (c *churn) run(ctx context.Context, began time.Time) error {
	defer context.AfterFunc(ctx, func() { c.fail(context.Cause(ctx)) })()
	var clients, servers sync.WaitGroup
	serving := make(chan struct{})
	for range c.st.p.Threads {
		servers.Go(func() { c.onThread(func() error { return c.serve(serving) }) })
	}
	for i := range c.st.p.Threads {
		clients.Go(func() { c.onThread(func() error { return c.connect(i, began) }) })
	}
	clients.Wait()
	close(serving)
	servers.Wait()
	c.fail(nil)
	return c.err
}

// onThread runs f on a thread of its own in the namespace, which ends with it.
func (c *churn) onThread(f func() error) {
	done := make(chan error)
	onOwnThread(func() {
		err := c.st.net.client.join()
		if err == nil {
			err = f()
		}
		done <- err
	})
	if err := <-done; err != nil {
		c.fail(err)
	}
}

// fail stops all threads; the first reason stands.
func (c *churn) fail(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.stop)
	})
}

func (c *churn) stopped() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}
