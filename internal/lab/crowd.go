//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Bounds of a crowd.
const (
	maxCrowd  = 1_000_000
	crowdSize = 10_007

	// keeperShare is how many connections a process keeps at most: each has a
	// destination of its own, which has 28,232 ephemeral ports to be reached from.
	keeperShare = 9000

	// crowdBytes is more than the kernel needs for both ends of a connection.
	crowdBytes = 12 << 10
)

func crowdStories() []Story {
	return []Story{{
		Name:     "crowd",
		Doc:      "connections of many processes, all open at once, that say nothing; a process has both ends of each, and closes the client's first; for benchmarks",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Loopback},
		Hold:     time.Second,
		Count:    crowdSize,
		Most:     maxCrowd,
		cast:     true,
		sysctls:  [][2]string{{"net.ipv4.tcp_max_tw_buckets", strconv.Itoa(maxCrowd)}, unhurt},
		play:     playCrowd,
	}}
}

func playCrowd(ctx context.Context, st *stage) error {
	if err := roomFor(st.p.N); err != nil {
		return err
	}
	if err := st.keep(ctx); err != nil {
		return err
	}
	st.truth.Elapsed = time.Since(st.began)
	st.truth.Count = st.p.N
	st.truth.Rate = float64(st.truth.Count) / st.truth.Elapsed.Seconds()
	if err := st.await(ctx, census{tcp.Established: 2 * st.p.N}); err != nil {
		return err
	}
	st.truth.Open = 2 * st.p.N
	if err := st.stay(ctx); err != nil {
		return err
	}
	for _, p := range st.processes {
		if err := p.end(ctx); err != nil {
			return err
		}
	}
	return st.rest(ctx, st.p.N)
}

// keep has keepers open all connections, a few keepers at a time.
func (st *stage) keep(ctx context.Context) error {
	most, err := keepable()
	if err != nil {
		return err
	}
	keepers := 0
	opened := func(busy int) error {
		return st.told(ctx, "the connections are open", func(b *book) bool { return b.serving >= keepers-busy })
	}
	for left := st.p.N; left > 0; keepers++ {
		if err := opened(workers - 1); err != nil {
			return err
		}
		at := netip.AddrPortFrom(st.net.serverAddr, serverPort+uint16(keepers))
		d := duty{Part: "keeper", Addr: at, Count: min(left, most)}
		if _, err := st.act(st.net.server, d); err != nil {
			return err
		}
		left -= d.Count
	}
	if err := opened(0); err != nil {
		return err
	}
	return st.introduce()
}

// keepable is how many connections a process can have both ends of.
func keepable() (int, error) {
	limit, err := descriptorLimit()
	if err != nil {
		return 0, err
	}
	if limit.Cur < spareDescriptors+2 {
		return 0, fmt.Errorf("%d descriptors are allowed: raise ulimit -n", limit.Cur)
	}
	return int(min((limit.Cur-spareDescriptors)/2, keeperShare)), nil
}

// roomFor says so where n connections do not fit into this machine's memory.
func roomFor(n int) error {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return fmt.Errorf("read how much memory is available: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), "MemAvailable:")
	var kB int
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		return fmt.Errorf("read how much memory is available: %w", err)
	}
	if need := n * crowdBytes >> 10; need > kB {
		return fmt.Errorf("%d connections need %d MB of memory and %d MB are available", n, need>>10, kB>>10)
	}
	return nil
}

// playKeeper opens connections to itself, says so, and closes them at the end of
// its part.
func playKeeper(ctx context.Context, a *actor) error {
	listener, err := a.listen()
	if err != nil {
		return err
	}
	pairs := make([]pair, a.duty.Count)
	for i := range pairs {
		if pairs[i].client, err = openSocket(a.duty.Addr.Addr().Is6()); err != nil {
			return err
		}
		if err := pairs[i].client.connect(ctx, a.duty.Addr); err != nil {
			return err
		}
		if pairs[i].server, err = listener.accept(ctx); err != nil {
			return err
		}
	}
	a.tell(&report{Serving: os.Getpid()})
	<-ctx.Done()
	for _, pr := range pairs {
		if err := closeBoth(context.Background(), pr.client, pr.server); err != nil {
			return err
		}
	}
	return listener.close()
}
