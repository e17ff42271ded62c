//go:build linux

package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
)

const (
	defaultRing = 8 << 20
	defaultPoll = 50 * time.Millisecond

	// rearmWithin is how long a timewait socket's timer may take, at most, from
	// where it is detached to where it is armed again or runs, which the kernel does
	// at once: but the machine may be another's guest.
	rearmWithin = 20 * time.Millisecond
)

// A Source is the live kernel: the attached programs and their rings.
type Source struct {
	opts     Options
	kernel   *kernel
	programs *programs
	decoder  bpf.Decoder
	rings    rings
	waiter   *waiter
	ledger   ledger
	sweeper  *sweeper // nil where there is none
	unswept  error    // why
	watch    watch
	nameless bool // no stack tells why a timewait socket's timer was detached
	order    order
	event    event.Event // the one that is handed over
	clock    event.Clock

	attached  event.Time             // when the last program was
	detaching event.Time             // when the first one was about to be, or 0
	passed    [event.NumKinds]uint64 // records of the ring that are not handed over
}

// Open loads and attaches every program that this kernel allows. It returns
// ErrPrivileges where the process may not trace, and another error that names
// what is missing where the kernel cannot even show transitions.
func Open(opts Options) (*Source, error) {
	if opts.RingBytes == 0 {
		opts.RingBytes = defaultRing
	}
	if opts.Poll == 0 {
		opts.Poll = defaultPoll
	}
	opts.PollCalm = max(opts.Poll, opts.PollCalm)
	k, err := examineKernel(opts.BTF)
	if err != nil {
		return nil, err
	}
	if k.untyped != nil && !opts.proven {
		if err := proveTypes(&opts); err != nil {
			return nil, err
		}
	}
	s := &Source{opts: opts, kernel: k, clock: readClock()}
	s.decoder = bpf.Decoder{HZ: k.hz, ResetReasons: k.resetReasons, DropReasons: k.dropReasons, EndCause: k.symbols.endCause}
	s.decoder.Function = (&functions{base: k.symbols.address(frameBase)}).name
	if s.programs, err = load(k, &opts); err != nil {
		return nil, err
	}
	s.attached = now()
	s.nameless = k.hidden != nil && s.programs.byProgram[bpf.TcptraceProgTtTimerCancel] != nil
	s.decoder.NoTimeWait = !s.programs.serve(timeWait)
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	maps := s.programs.collection.Maps
	switch {
	case opts.NoSweep:
		s.unswept = errors.New(leftOut)
	case k.untyped != nil:
		s.unswept = k.untyped
	default:
		s.sweeper, s.unswept = newSweeper(&opts, k.cache, maps[bpf.TcptraceMapOwners], maps[bpf.TcptraceMapListeners])
	}
	k.types, k.cache = nil, nil // what was read of them is many MB
	return s, nil
}

// start opens the rings.
func (s *Source) start() error {
	maps := ringMaps(s.programs.collection)
	var err error
	if s.rings, err = openRings(maps); err != nil {
		return err
	}
	if s.waiter, err = newWaiter(maps, s.rings.fills); err != nil {
		return err
	}
	s.watch = newWatch(s.programs, s.kernel)
	s.ledger, err = newLedger(s.programs, now())
	return err
}

// Run calls handle with each event, in order of time, until ctx is done; then
// it detaches the programs, hands over what is left in the ring, and returns
// nil. It may be called once.
func (s *Source) Run(ctx context.Context, handle event.Handler) error {
	stop := context.AfterFunc(ctx, s.waiter.interrupt)
	defer stop()
	for ctx.Err() == nil {
		s.sweeper.start(ctx, now())
		if err := s.watch.look(now(), &s.ledger); err != nil {
			return err
		}
		more, err := s.poll(handle, false)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if err := s.waiter.wait(s.pause()); err != nil {
			return err
		}
	}
	return s.finish(handle)
}

// pause returns how long the ring is left alone.
func (s *Source) pause() time.Duration {
	return max(s.opts.Poll, min(s.opts.PollCalm, s.watch.interval(now(), &s.ledger)))
}

// poll hands over what is in the ring and what a sweep has found, a batch of each
// at most, and says whether there is more. last says that nothing new comes.
func (s *Source) poll(handle event.Handler, last bool) (more bool, err error) {
	s.rings.look(now())
	more, err = s.drain()
	if err != nil {
		return false, err
	}
	horizon := s.rings.horizon().Add(-settle)
	lost, err := s.ledger.report(now(), last && !more, handle)
	if err != nil {
		return false, err
	}
	s.sweeper.lost(lost)
	s.sweeper.collect(&s.order)
	if s.nameless {
		horizon = horizon.Add(-rearmWithin) // for the sake of isUnsaid
	}
	unseen, err := s.release(s.sweeper.horizon(horizon), handle)
	if err != nil {
		return false, err
	}
	s.rings.free()
	if s.opts.OnBatch != nil {
		s.opts.OnBatch()
	}
	return more || unseen && !last, nil
}

// drain takes records until the rings are empty, but for what is put there from now
// on, or the batch is full, and says whether there are more, be it one that is still
// being written.
func (s *Source) drain() (more bool, err error) {
	for range batch {
		record, at, err := s.rings.next()
		if err != nil {
			return false, err
		}
		if record == nil {
			break
		}
		s.order.add(at, record)
	}
	return s.rings.left(), nil
}

// release hands over what happened before the horizon, and says whether a sweep
// has found more.
func (s *Source) release(horizon event.Time, handle event.Handler) (more bool, err error) {
	return s.order.release(horizon, func(f *fact) error { return s.tell(f, handle) }, func(found finding) {
		found.fill(&s.event)
		handle(&s.event)
	})
}

// tell hands over the event, or the two, that a fact is. It passes over records
// that tell nothing.
func (s *Source) tell(f *fact, handle event.Handler) error {
	if bpf.HasTotals(f.raw) {
		if err := s.decoder.DecodeTotals(f.raw, &s.event); err != nil {
			return fmt.Errorf("decode a record of the ring: %w", err)
		}
		s.pass(handle)
	}
	err := s.decoder.Decode(f.raw, &s.event)
	if err == nil && s.isUnsaid(f.raw) {
		err = bpf.ErrSkip
	}
	switch err {
	case nil:
		s.pass(handle)
	case bpf.ErrSkip: // a timewait timer that was only armed again
		s.passed[event.TimeWaitEnd]++
	default:
		return fmt.Errorf("decode a record of the ring: %w", err)
	}
	return nil
}

// isUnsaid reports whether the event, made of the record, is the end of a timewait
// socket that is none yet. Where the stack does not tell, what comes next does.
func (s *Source) isUnsaid(raw []byte) bool {
	return s.nameless && s.event.Kind == event.TimeWaitEnd && s.event.Cause == event.CauseUnknown &&
		s.order.follows(s.event.Time, func(next []byte) bool { return bpf.Unsays(next, raw) })
}

// pass hands over the event, unless it is from before all programs were attached, or
// from when they were no more. Those are parts of what happened, and would be taken for
// the whole (a request socket's end, without the child that it became).
func (s *Source) pass(handle event.Handler) {
	if s.isPart(&s.event) {
		s.passed[s.event.Kind]++
		return
	}
	handle(&s.event)
}

// aMoment is how long a request socket may outlive the making of its child:
// TT_MOMENT_NS of bpf/maps.h.
const aMoment = time.Millisecond

func (s *Source) isPart(ev *event.Event) bool {
	switch ev.Kind {
	case event.RequestEnd:
		if ev.Time < s.attached.Add(aMoment) {
			return true
		}
	case event.Dropped, event.QueueFull, event.Failed, event.RetransmitMore, event.ResetMore:
		return ev.Time < s.attached // what was counted until the end is told after it
	}
	return ev.Time < s.attached || s.detaching != 0 && ev.Time >= s.detaching
}

func (s *Source) finish(handle event.Handler) error {
	s.sweeper.stop()
	s.detaching = now()
	if err := s.programs.detach(); err != nil {
		return fmt.Errorf("detach the BPF programs: %w", err)
	}
	if err := s.watch.lookLast(); err != nil {
		return err
	}
	for {
		more, err := s.poll(handle, true)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	for more := true; more; {
		var err error
		if more, err = s.release(now(), handle); err != nil {
			return err
		}
	}
	if s.opts.OnBatch != nil {
		s.opts.OnBatch()
	}
	return nil
}

// Clock ties the events' time to the wall clock.
func (s *Source) Clock() event.Clock { return s.clock }

// Tally returns the count of events of each kind since Open, as of the last
// poll.
func (s *Source) Tally() [event.NumKinds]Tally {
	tally := s.ledger.known
	for kind, n := range s.passed {
		tally[kind].Sent -= n
	}
	return tally
}

// Close releases what Open acquired. It may be called after Run, or instead.
func (s *Source) Close() error {
	var errs []error
	if s.waiter != nil {
		errs = append(errs, s.waiter.close())
	}
	errs = append(errs, s.rings.close())
	errs = append(errs, s.sweeper.close())
	return errors.Join(append(errs, s.programs.close())...)
}
