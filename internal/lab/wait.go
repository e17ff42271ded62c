//go:build linux

package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// patience is how long a wait goes on while nothing changes. Of what a story
// waits for, nothing takes longer: TIME_WAIT lasts 62 s.
const patience = 2 * time.Minute

// A staller notices that a wait has come to a standstill.
type staller struct {
	patience time.Duration
	since    time.Time // of the last change
}

func (st *stage) staller() staller {
	return staller{cmp.Or(st.story.patience, patience), time.Now()}
}

// moved notes that there was a change.
func (s *staller) moved() { s.since = time.Now() }

// err says that there was none for too long.
func (s *staller) err() error {
	if time.Since(s.since) < s.patience {
		return nil
	}
	return fmt.Errorf("nothing has changed for %v", s.patience)
}

// await waits until the namespaces together have the sockets of want, listeners
// apart, and no others.
func (st *stage) await(ctx context.Context, want census) error {
	return st.awaitThat(ctx, want, func(got census) bool { return got == want })
}

// rest waits until nothing but n sockets in TIME_WAIT is left, as the last that
// happens in a play. On a busy machine a play may last longer than TIME_WAIT
// does: then the first of them are gone.
func (st *stage) rest(ctx context.Context, n int) error {
	want := census{tcp.TimeWait: n}
	return st.awaitThat(ctx, want, func(got census) bool {
		if got[tcp.TimeWait] < n && time.Since(st.began) >= timeWait-tick {
			got[tcp.TimeWait] = n
		}
		return got == want
	})
}

// awaitThat waits for what want says, which enough recognises. It fails when
// nothing has changed for the story's patience.
func (st *stage) awaitThat(ctx context.Context, want census, enough func(census) bool) error {
	var got census
	standstill := st.staller()
	err := poll(ctx, func() (bool, error) {
		now, err := st.census()
		if err != nil {
			return false, err
		}
		if now != got {
			got = now
			standstill.moved()
		}
		if enough(got) {
			return true, nil
		}
		return false, errors.Join(standstill.err(), st.failure())
	})
	if err != nil {
		return fmt.Errorf("wait for %v, while there is %v: %w", want, got, err)
	}
	return nil
}

// told waits until the actors have told enough. It fails when none has told
// anything for the story's patience.
func (st *stage) told(ctx context.Context, what string, enough func(*book) bool) error {
	reports, so := 0, ""
	standstill := st.staller()
	err := poll(ctx, func() (bool, error) {
		st.book.mu.Lock()
		defer st.book.mu.Unlock()
		if st.book.reports != reports {
			reports = st.book.reports
			standstill.moved()
		}
		so = st.book.String()
		if st.book.failed != "" {
			return false, errors.New(st.book.failed)
		}
		if enough(&st.book) {
			return true, nil
		}
		return false, standstill.err()
	})
	if err != nil {
		return fmt.Errorf("wait until %s, while told is of %s: %w", what, so, err)
	}
	return nil
}

// failure returns what went wrong in an actor, if anything did.
func (st *stage) failure() error {
	st.book.mu.Lock()
	defer st.book.mu.Unlock()
	if st.book.failed == "" {
		return nil
	}
	return errors.New(st.book.failed)
}

// blame adds to err what went wrong in an actor, which may be the reason.
func (st *stage) blame(err error) error {
	failed := st.failure()
	if failed == nil || strings.Contains(err.Error(), failed.Error()) {
		return err
	}
	return fmt.Errorf("%w (before that, %v)", err, failed)
}
