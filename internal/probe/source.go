//go:build linux

package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
)

const (
	defaultRing = 8 << 20
	defaultPoll = 50 * time.Millisecond

	// batch is how many events are put in order at a time.
	batch = 8192
)

// A Source is the live kernel: the attached programs and their ring.
type Source struct {
	opts     Options
	kernel   *kernel
	programs *programs
	decoder  bpf.Decoder
	reader   *ringbuf.Reader
	record   ringbuf.Record
	waiter   *waiter
	ledger   ledger
	sweeper  *sweeper // nil where there is none
	unswept  error    // why
	watch    watch
	order    order
	clock    event.Clock

	attached event.Time             // when the last program was
	passed   [event.NumKinds]uint64 // records of the ring that are not handed over
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
		s.sweeper, s.unswept = newSweeper(&opts, maps[bpf.TcptraceMapOwners], maps[bpf.TcptraceMapListeners])
	}
	return s, nil
}

// start opens the ring.
func (s *Source) start() error {
	maps := s.programs.collection.Maps
	var err error
	ring := maps[bpf.TcptraceMapEvents]
	if s.reader, err = ringbuf.NewReader(ring); err != nil {
		return fmt.Errorf("open the ring: %w", err)
	}
	// The reader's own sleep is not used: see waiter.
	s.reader.SetDeadline(time.Unix(1, 0))
	if s.waiter, err = newWaiter(ring.FD()); err != nil {
		return err
	}
	s.watch = newWatch(s.programs)
	s.ledger = ledger{programs: s.programs, tallies: maps[bpf.TcptraceMapTallies], checked: now()}
	return nil
}

// Run calls handle with each event, in order of time, until ctx is done; then
// it detaches the programs, hands over what is left in the ring, and returns
// nil. It may be called once.
func (s *Source) Run(ctx context.Context, handle event.Handler) error {
	stop := context.AfterFunc(ctx, s.waiter.interrupt)
	defer stop()
	for ctx.Err() == nil {
		s.sweeper.start(ctx, now())
		if err := s.watch.look(now()); err != nil {
			return err
		}
		more, err := s.poll(handle)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if err := s.waiter.wait(s.opts.Poll); err != nil {
			return err
		}
	}
	return s.finish(handle)
}

// poll hands over what is in the ring, a batch at most, and says whether there
// is more.
func (s *Source) poll(handle event.Handler) (more bool, err error) {
	horizon := now().Add(-settle)
	more, err = s.drain()
	if err != nil {
		return false, err
	}
	if more {
		horizon = s.order.newest.Add(-settle)
	}
	lost, err := s.ledger.report(now(), handle)
	if err != nil {
		return false, err
	}
	s.sweeper.lost(lost)
	s.sweeper.collect(&s.order)
	s.order.release(s.sweeper.horizon(horizon), handle)
	if s.opts.OnBatch != nil {
		s.opts.OnBatch()
	}
	return more, nil
}

// drain decodes records until the ring is empty or the batch full, and says
// whether it stopped for the latter. It passes over records that tell nothing,
// and those from before all programs were attached: they are parts of what
// happened, and would be taken for the whole (a request socket's end, without
// the child that it became).
func (s *Source) drain() (more bool, err error) {
	for n := 0; n < batch; n++ {
		err := s.reader.ReadInto(&s.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read the ring: %w", err)
		}
		ev := s.order.next()
		err = s.decoder.Decode(s.record.RawSample, ev)
		switch {
		case err == bpf.ErrSkip: // a timewait timer that was only armed again
			s.passed[event.TimeWaitEnd]++
		case err != nil:
			return false, fmt.Errorf("decode a record of the ring: %w", err)
		case ev.Time < s.attached:
			s.passed[ev.Kind]++
		default:
			s.order.added()
		}
	}
	return true, nil
}

func (s *Source) finish(handle event.Handler) error {
	s.sweeper.stop()
	if err := s.programs.detach(); err != nil {
		return fmt.Errorf("detach the BPF programs: %w", err)
	}
	if err := s.watch.lookLast(); err != nil {
		return err
	}
	for {
		more, err := s.poll(handle)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	s.order.release(now(), handle)
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
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	errs = append(errs, s.sweeper.close())
	return errors.Join(append(errs, s.programs.close())...)
}

// now reads the clock of the kernel's time stamps.
func now() event.Time {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail for this clock
	return event.Time(t.Nano())
}

func readClock() event.Clock {
	return event.Clock{Boot: time.Now().Round(0).Add(-time.Duration(now()))}
}
