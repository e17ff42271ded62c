//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// askedStories are those of processes that ask a socket for its error all the
// time, and so take it, now and then, before the kernel has closed the socket.
func askedStories() []Story {
	return []Story{{
		Name:     "syn-unanswered-asked",
		Doc:      "the client's SYN and its one retransmit are lost, and the client asks for SO_ERROR until it says so",
		Client:   givenUp,
		Networks: []Network{Wire},
		Takes:    synTimeout,
		together: true,
		sysctls:  [][2]string{{"net.ipv4.tcp_syn_retries", "1"}, {"?net.ipv4.tcp_syn_linear_timeouts", "0"}},
		play:     playAsked,
	}}
}

// playAsked connects on one processor, where the timers then run out, and asks on
// another, if there is one.
func playAsked(ctx context.Context, st *stage) error {
	st.net.wire.setRule(func(*wire, segment) {})
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("find the processors: %w", err)
	}
	cpus := twoOf(&allowed)
	var pairs []*pair
	err := onProcessor(cpus[0], func() (err error) {
		pairs, _, err = st.beginAll()
		return err
	})
	if err != nil {
		return err
	}
	if err := st.await(ctx, census{tcp.SynSent: st.p.N}); err != nil {
		return err
	}
	if err := onProcessor(cpus[1], func() error { return askAll(ctx, pairs) }); err != nil {
		return err
	}
	if err := st.await(ctx, census{}); err != nil {
		return err
	}
	for _, pr := range pairs {
		st.ended(pr, "timeout", "").ClientErrno = "ETIMEDOUT"
		if err := pr.client.close(); err != nil {
			return err
		}
	}
	return errors.Join(st.failed(Failure{Op: "connect", Errno: "ETIMEDOUT", Count: st.p.N}), st.ours(st.p.N))
}

// askAll asks each client for its error, until it has one.
func askAll(ctx context.Context, pairs []*pair) error {
	answered := make([]bool, len(pairs))
	for left := len(pairs); left > 0; {
		for i, pr := range pairs {
			if answered[i] {
				continue
			}
			switch code, err := unix.GetsockoptInt(pr.client.fd, unix.SOL_SOCKET, unix.SO_ERROR); {
			case err != nil:
				return fmt.Errorf("read SO_ERROR: %w", err)
			case unix.Errno(code) == unix.ETIMEDOUT:
				answered[i] = true
				left--
			case code != 0:
				return fmt.Errorf("connect: %w instead of ETIMEDOUT", unix.Errno(code))
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// onProcessor runs f on one processor, in a thread of its own.
func onProcessor(cpu int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		var one unix.CPUSet
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			done <- fmt.Errorf("move to processor %d: %w", cpu, err)
			return
		}
		done <- f()
	}()
	return <-done
}
