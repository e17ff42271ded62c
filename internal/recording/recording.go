package recording

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"time"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// A Recording is what was recorded of one host in one session: one file, or
// those that it was rotated into. It is a source of events as the live kernel
// is one, and knows the sysctls and names of its place. One goroutine uses it.
type Recording struct {
	// OnBatch, if set, is called where the live source had nothing more to
	// hand over for the moment, as it did then.
	OnBatch func()
	// OnCounters, if set, is called with the kernel's counters where they were read.
	OnCounters func(*Counters)
	// Duration, if set, ends Run after so much of what was recorded.
	Duration time.Duration

	parts    []*part
	info     Info
	now      event.Time // of the last tick, or event
	begun    event.Time // of the first one
	spaces   map[uint32]Namespace
	people   map[uint32]Process
	snapshot *census.Census
	held     map[uint32][]Descriptor // by pid
	turn     *turn                   // nil: it is alone
	ended    bool
	stopped  bool
	good     event.Time
	unknown  uint64
}

// A part is one file.
type part struct {
	path   string
	file   *os.File
	reader *Reader
	held   *Entry // the first that is no preamble
	err    error  // instead of held
}

func openPart(path string) (*part, error) {
	p := &part{path: path, file: os.Stdin}
	if path != "-" {
		var err error
		if p.file, err = os.Open(path); err != nil {
			return nil, fmt.Errorf("open the recording: %w", err)
		}
	}
	var err error
	if p.reader, err = NewReader(bufio.NewReaderSize(p.file, 256<<10)); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func (p *part) close() {
	p.reader.Close()
	p.file.Close()
}

// next returns the next entry. It wraps no io.EOF.
func (p *part) next() (*Entry, error) {
	if e, err := p.held, p.err; e != nil || err != nil {
		p.held, p.err = nil, nil
		return e, err
	}
	e, err := p.reader.Next()
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %w", p.path, err)
	}
	return e, err
}

// newRecording takes parts in their order, and reads what precedes the events
// of the first.
func newRecording(parts []*part) *Recording {
	r := &Recording{parts: parts, info: *parts[0].reader.Info(), spaces: map[uint32]Namespace{}, people: map[uint32]Process{}, held: map[uint32][]Descriptor{}}
	first := parts[0]
	for {
		e, err := first.next()
		if err != nil || e.Kind == EventEntry || e.Kind == TickEntry || e.Kind == CountersEntry {
			first.held, first.err = e, err
			break
		}
		r.learn(e)
	}
	r.now = r.info.Began
	return r
}

// Info says of what it is.
func (r *Recording) Info() *Info { return &r.info }

// Clock ties its events' time to the wall clock of its host.
func (r *Recording) Clock() event.Clock { return r.info.Clock() }

// Now returns the time of what is being handed over: of the last tick, and
// before the first one of the last event. A sink that asks for the time asks
// for this one.
func (r *Recording) Now() event.Time { return r.now }

// Begun returns the time of the first tick or event.
func (r *Recording) Begun() event.Time { return r.begun }

// Ended reports, once Run has returned, whether who recorded ended in order.
func (r *Recording) Ended() bool { return r.ended }

// Stopped reports, once Run has returned, whether it did so before the
// recording's end, as it was asked to.
func (r *Recording) Stopped() bool { return r.stopped }

// Good returns, once Run has returned, up to when the recording is good.
func (r *Recording) Good() event.Time { return r.good }

// Unknown counts what was passed over, because a newer version recorded it.
func (r *Recording) Unknown() uint64 { return r.unknown }

// Sysctl returns the value of a sysctl in a network namespace, as known at
// this place of the recording; "" where it is not. Recording is a
// diagnose.Settings.
func (r *Recording) Sysctl(netns uint32, name string) string { return r.spaces[netns].Sysctls[name] }

// Device returns the name of the device that has an address in a network
// namespace, likewise. Recording is a diagnose.Devices.
func (r *Recording) Device(netns uint32, local netip.Addr) string {
	return r.spaces[netns].Devices[local]
}

// Forget does nothing: what was recorded stands.
func (r *Recording) Forget(uint32) {}

// Descriptors hands over the descriptors that a process had of TCP sockets, as
// far as known at this place of the recording: as they were last asked for, or
// else as the recording began. Recording is a diagnose.Processes.
func (r *Recording) Descriptors(pid uint32, each func(socket event.ID, fd uint32)) {
	if held, ok := r.held[pid]; ok {
		for _, h := range held {
			each(h.Socket, h.FD)
		}
		return
	}
	if r.snapshot == nil {
		return
	}
	for i := range r.snapshot.Sockets {
		s := &r.snapshot.Sockets[i]
		if len(s.Holders) == 0 && s.Via == conn.ViaSnapshot && s.Owner.PID == pid {
			each(s.ID, s.FD)
		}
		for _, h := range s.Holders {
			if h.PID == pid {
				each(s.ID, h.FD)
			}
		}
	}
}

// Namespaces returns the names of the network namespaces that have one, as
// known at this place of the recording.
func (r *Recording) Namespaces() map[uint32]string {
	names := map[uint32]string{}
	for inode, n := range r.spaces {
		if n.Name != "" {
			names[inode] = n.Name
		}
	}
	return names
}

// Processes returns those that were there as the recording began, by pid.
func (r *Recording) Processes() map[uint32]Process { return maps.Clone(r.people) }

// Label says more of a process that was there as the recording began, which is
// for the holders of the snapshot's sockets: an event's process has its label.
func (r *Recording) Label(t *event.Task, _ event.Time) *event.Label {
	if t.Label != nil {
		return t.Label
	}
	if p, ok := r.people[t.PID]; ok && p.Task.Comm == t.Comm {
		return p.Task.Label
	}
	return nil
}

// Snapshot returns the sockets that there were as the recording began, the
// caller's to change; nil where there is none.
func (r *Recording) Snapshot() *census.Census {
	if r.snapshot == nil {
		return nil
	}
	return &census.Census{
		Time: r.snapshot.Time, Sockets: append([]census.Socket(nil), r.snapshot.Sockets...), Namespaces: r.Namespaces(),
	}
}

// Run calls handle with each event, in the order of the recording, and OnBatch
// at each tick. It returns nil at the recording's end, after Duration, or when
// ctx is done; and an error that wraps a *DamageError where the recording
// cannot be read to its end: what was handed over is good. It may be called
// once.
func (r *Recording) Run(ctx context.Context, handle event.Handler) error {
	for i, p := range r.parts {
		done, err := r.play(ctx, p, handle)
		r.ended, r.good, r.unknown = p.reader.Ended(), max(r.good, p.reader.Good()), r.unknown+p.reader.Unknown()
		if damage := new(DamageError); errors.As(err, &damage) && i < len(r.parts)-1 && damage.Cut {
			err = nil // who recorded was killed, but then went on
		}
		if done || err != nil {
			r.stopped = err == nil
			return err
		}
	}
	return nil
}

// play hands over one part. It says whether no more is wanted.
func (r *Recording) play(ctx context.Context, p *part, handle event.Handler) (done bool, err error) {
	for n := 0; ; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return true, nil
		}
		e, err := p.next()
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return true, err
		}
		switch e.Kind {
		case EventEntry:
			if r.over(e.Event.Time) {
				return true, nil
			}
			handle(&e.Event)
		case TickEntry:
			if r.over(e.Now) {
				return true, nil
			}
			r.now = e.Now
			if r.OnBatch != nil {
				r.OnBatch()
			}
		case NamespaceEntry, DescriptorsEntry:
			r.learn(e)
		case CountersEntry:
			if r.OnCounters != nil {
				r.OnCounters(&e.Counters)
			}
		}
	}
}

// over waits for r's turn, and says whether t is later than what is wanted.
func (r *Recording) over(t event.Time) bool {
	if r.begun == 0 {
		r.begun = t
	}
	if r.Duration > 0 && t.Sub(r.begun) > r.Duration {
		return true
	}
	if r.turn != nil {
		r.turn.await(int64(t) + r.info.Boot.UnixNano())
	}
	return false
}

// learn takes in what is no event.
func (r *Recording) learn(e *Entry) {
	switch e.Kind {
	case NamespaceEntry:
		r.spaces[e.Namespace.NetNS] = e.Namespace
	case ProcessEntry:
		r.people[e.Process.Task.PID] = e.Process
	case SnapshotEntry:
		if r.snapshot == nil {
			r.snapshot = &census.Census{Time: e.Now}
		}
	case DescriptorsEntry:
		r.held[e.Descriptors.PID] = e.Descriptors.Held
	case SocketEntry:
		if r.snapshot != nil {
			r.snapshot.Sockets = append(r.snapshot.Sockets, e.Socket)
		}
	}
}

// Done says that nothing more is done with what Run has handed over. Where
// several recordings run in step, the others wait for it.
func (r *Recording) Done() {
	if r.turn != nil {
		r.turn.end()
	}
}

func (r *Recording) close() {
	for _, p := range r.parts {
		p.close()
	}
}
