//go:build linux

package lab

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// TestAwait_SaysWhatItWaitedFor: a wait for what does not come ends, and says
// what there was instead. Needs root.
func TestAwait_SaysWhatItWaitedFor(t *testing.T) {
	if err := Allowed(); errors.Is(err, ErrNotAllowed) {
		t.Skip(err)
	}
	inVain := Story{
		Name:     "in-vain",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Loopback},
		patience: 50 * time.Millisecond,
	}
	for _, tc := range []struct {
		wait func(context.Context, *stage) error
		want string
	}{{
		func(ctx context.Context, st *stage) error { return st.rest(ctx, 3) },
		"story in-vain: wait for 3 TIME_WAIT, while there is 2 TIME_WAIT: nothing has changed for 50ms",
	}, {
		func(ctx context.Context, st *stage) error {
			return st.await(ctx, census{tcp.CloseWait: 2, tcp.FinWait2: 2})
		},
		"story in-vain: wait for 2 FIN_WAIT2, 2 CLOSE_WAIT, while there is 2 TIME_WAIT: nothing has changed for 50ms",
	}, {
		func(ctx context.Context, st *stage) error {
			return st.told(ctx, "somebody listens", func(b *book) bool { return len(b.listeners) > 0 })
		},
		"story in-vain: wait until somebody listens, while told is of 0 listeners, 0 that serve, 0 connections: nothing has changed for 50ms",
	}} {
		story := inVain
		story.play = func(ctx context.Context, st *stage) error {
			if err := st.closeInOrder(ctx, clientFirst); err != nil {
				return err
			}
			return tc.wait(ctx, st)
		}
		_, err := story.Run(t.Context(), Params{N: 2})
		if err == nil || err.Error() != tc.want {
			t.Errorf("got  %v\nwant %s", err, tc.want)
		}
	}
}

// TestAwait_NamesTheActorThatFailed: who waits for it does not wait in vain.
// Needs root.
func TestAwait_NamesTheActorThatFailed(t *testing.T) {
	if err := Allowed(); errors.Is(err, ErrNotAllowed) {
		t.Skip(err)
	}
	story := Story{
		Name: "failed-actor", Client: path(opened, closesFirst), Networks: []Network{Loopback}, cast: true,
		play: func(ctx context.Context, st *stage) error {
			if _, err := st.act(st.net.server, duty{Part: "no-such"}); err != nil {
				return err
			}
			return st.rest(ctx, 1)
		},
	}
	_, err := story.Run(t.Context(), Params{N: 1})
	if err == nil || !strings.Contains(err.Error(), `part "no-such": there is no such part`) {
		t.Errorf("got %v", err)
	}
}

// TestRest_OutlastsTimeWait: when a play takes longer than TIME_WAIT, what is
// left of it is enough, and nobody says how it ended. Needs root.
func TestRest_OutlastsTimeWait(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 65 s")
	}
	if err := Allowed(); errors.Is(err, ErrNotAllowed) {
		t.Skip(err)
	}
	t.Parallel()
	story := Story{
		Name:     "long-play",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Loopback},
		play: func(ctx context.Context, st *stage) error {
			if err := st.closeInOrder(ctx, clientFirst); err != nil {
				return err
			}
			if err := st.await(ctx, census{}); err != nil {
				return err
			}
			return st.rest(ctx, st.p.N)
		},
	}
	truth, err := story.Run(t.Context(), Params{N: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range truth.Conns {
		if c.TimeWaitCause != "" {
			t.Errorf("%v: TIME_WAIT ended by %q, which nobody can know", c.Client, c.TimeWaitCause)
		}
	}
}
