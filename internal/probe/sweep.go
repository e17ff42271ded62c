//go:build linux

package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/proc"
	"github.com/tcptrace/tcptrace/internal/snapshot"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	// sweepEvery is how often the kernel's tables are read again, to find
	// what the events did not tell.
	sweepEvery = time.Minute

	// sweepAfterLoss is the least time between two sweeps that lost events
	// call for.
	sweepAfterLoss = 5 * time.Second
)

// A sweeper reads the kernel's tables of sockets beside the ring, and makes
// events of what it finds. While it does so, the events from its begin on are
// kept back, so that all come in order of time.
type sweeper struct {
	reader *snapshot.Reader
	names  *proc.Resolver
	filter *filter.Filter
	owners *ebpf.Map // cookie -> pid, where the kernel side selects by process; else nil

	watchable int // listeners: more have no room in the kernel side's map
	unwatched int // of those that the last sweep found

	running bool
	begun   event.Time
	done    chan swept
	cancel  context.CancelFunc

	last    event.Time // begin of the last one
	wanted  bool       // events were lost since, or more sockets are told of
	failure error      // of the last one
	shed    event.Shedding
}

// swept is what a sweep found.
type swept struct {
	begun, ended event.Time
	snapshot     *snapshot.Snapshot
	read         []uint32 // namespaces
	err          error
}

func newSweeper(opts *Options, types *btf.Cache, owners, listeners *ebpf.Map) (*sweeper, error) {
	reader, err := snapshot.OpenFor(types, listeners)
	if err != nil {
		return nil, err
	}
	names, err := proc.NewResolver(proc.Options{})
	if err != nil {
		return nil, fmt.Errorf("find the network namespaces: %w", err)
	}
	s := &sweeper{reader: reader, names: names, filter: &opts.Filter, done: make(chan swept, 1)}
	s.watchable = int(listeners.MaxEntries())
	if opts.FiltersProcesses() {
		s.owners = owners
	}
	return s, nil
}

// due says whether it is time for a sweep.
func (s *sweeper) due(now event.Time) bool {
	since := now.Sub(s.last)
	return s.last == 0 || since >= sweepEvery || s.wanted && since >= sweepAfterLoss
}

// start begins a sweep, unless one is running or none is due.
func (s *sweeper) start(ctx context.Context, at event.Time) {
	if s == nil || s.running || !s.due(at) {
		return
	}
	s.running, s.begun, s.last, s.wanted = true, at, at, false
	ctx, s.cancel = context.WithCancel(ctx)
	go func() {
		found := swept{begun: at}
		found.err = s.take(ctx, &found)
		found.ended = now()
		s.done <- found
	}()
}

func (s *sweeper) take(ctx context.Context, found *swept) error {
	all, err := s.names.NetNamespaces()
	if err != nil {
		return fmt.Errorf("list the network namespaces: %w", err)
	}
	wanted := s.filter.NetNS // empty: all
	options := snapshot.Options{Held: len(wanted) == 0}
	for _, ns := range all {
		if len(wanted) == 0 || slices.Contains(wanted, ns.Inode) {
			options.Namespaces = append(options.Namespaces, snapshot.NetNS{Inode: ns.Inode, Path: ns.Path})
		}
	}
	if len(options.Namespaces) == 0 {
		found.snapshot = &snapshot.Snapshot{} // those asked for do not exist (yet)
		return nil
	}
	if found.snapshot, err = s.reader.Take(ctx, options); err != nil {
		return fmt.Errorf("sweep the tables of sockets: %w", err)
	}
	found.read = namespacesOf(options.Namespaces, found.snapshot)
	return nil
}

// namespacesOf lists the namespaces that were read: those asked for, those that
// a socket turned up in, but not those that could not be entered.
func namespacesOf(asked []snapshot.NetNS, found *snapshot.Snapshot) []uint32 {
	read := map[uint32]bool{}
	for _, ns := range asked {
		read[ns.Inode] = true
	}
	for i := range found.Sockets {
		read[found.Sockets[i].ID.NetNS] = true
	}
	for _, unread := range found.Unread {
		delete(read, unread.NetNS.Inode)
	}
	return slices.Sorted(maps.Keys(read))
}

// collect adds the events of a sweep that has ended.
func (s *sweeper) collect(o *order) {
	if s == nil || !s.running {
		return
	}
	select {
	case found := <-s.done:
		s.finish(&found, o)
	default:
	}
}

func (s *sweeper) finish(found *swept, o *order) {
	s.running = false
	s.cancel()
	if s.failure = found.err; found.err != nil {
		return
	}
	o.expect(len(found.snapshot.Sockets) + len(found.read))
	for i := range found.snapshot.Sockets {
		socket := &found.snapshot.Sockets[i]
		if s.strange(socket) || s.leaves(socket.ID, socket.State) {
			continue
		}
		o.merge(socket.Time, (*seen)(socket))
		s.tellOwner(socket)
	}
	s.countListeners(found, o)
	for _, inode := range found.read {
		o.merge(found.ended, &sweptSpace{netns: inode, begun: found.begun, ended: found.ended})
	}
}

// countListeners counts as lost what full queues there may be of listeners that have
// no room in the kernel side's map: one for each, as it is found first, but no more
// than are wanted. A sweep has each watched for which there is room again.
func (s *sweeper) countListeners(found *swept, o *order) {
	unwatched, wanted := -s.watchable, 0
	for i := range found.snapshot.Sockets {
		socket := &found.snapshot.Sockets[i]
		if socket.State != tcp.Listen {
			continue
		}
		unwatched++
		if s.wants(socket) {
			wanted++
		}
	}
	unwatched = min(unwatched, wanted)
	if unwatched > s.unwatched {
		o.merge(found.ended, &unwatchedListeners{count: unwatched - s.unwatched, since: found.begun, at: found.ended})
	}
	s.unwatched = max(unwatched, 0)
}

// wants reports whether the filter may select a listener, of which it knows the
// addresses, and the process where the kernel side does.
func (s *sweeper) wants(listener *snapshot.Socket) bool {
	if holder, ok := onlyHolder(listener); ok && s.owners != nil && !slices.Contains(s.filter.PIDs, holder.PID) {
		return false
	}
	return s.filter.Match(&filter.Subject{NetNS: listener.ID.NetNS, Local: listener.Local}) != filter.No
}

// unwatchedListeners are those for which a sweep found no room.
type unwatchedListeners struct {
	count     int
	since, at event.Time
}

func (u *unwatchedListeners) fill(ev *event.Event) {
	*ev = event.Event{
		Kind: event.Lost, Time: u.at,
		Loss: event.Loss{Kind: event.QueueFull, Count: uint64(u.count), From: u.since},
	}
}

// A sweptSpace is a namespace that was read to its end.
type sweptSpace struct {
	netns        uint32
	begun, ended event.Time
}

func (s *sweptSpace) fill(ev *event.Event) {
	*ev = event.Event{Kind: event.Swept, Time: s.ended, From: s.begun, ID: event.ID{NetNS: s.netns}}
}

// seen is a socket.
type seen snapshot.Socket

func (s *seen) fill(ev *event.Event) {
	socket := (*snapshot.Socket)(s)
	*ev = event.Event{
		Kind: event.Seen, Time: socket.Time, ID: socket.ID, Old: socket.State,
		Local: socket.Local, Remote: socket.Remote,
	}
	if socket.Object == snapshot.TimeWait {
		ev.Left = socket.TimeLeft
	}
	ev.Idle, ev.KeepAlive = socket.Idle, socket.KeepAlive
	if holder, ok := onlyHolder(socket); ok {
		ev.Task = event.Task{PID: holder.PID, UID: holder.UID, Comm: holder.Comm}
	}
}

// onlyHolder returns the one process that holds the socket, if it is one.
func onlyHolder(socket *snapshot.Socket) (snapshot.Holder, bool) {
	if len(socket.Holders) == 0 || socket.MoreHolders > 0 {
		return snapshot.Holder{}, false
	}
	for _, h := range socket.Holders[1:] {
		if h.PID != socket.Holders[0].PID {
			return snapshot.Holder{}, false
		}
	}
	return socket.Holders[0], true
}

// strange reports whether the socket, which no process holds any more, was that
// of a process of which the kernel side hands over nothing.
func (s *sweeper) strange(socket *snapshot.Socket) bool {
	var pid uint32
	if s.owners == nil || len(socket.Holders) > 0 || socket.ID.Cookie == 0 ||
		s.owners.Lookup(socket.ID.Cookie, &pid) != nil {
		return false
	}
	return !slices.Contains(s.filter.PIDs, pid)
}

// tellOwner lets the kernel side's filter know whose socket it is.
func (s *sweeper) tellOwner(socket *snapshot.Socket) {
	if s.owners == nil || socket.ID.Cookie == 0 {
		return
	}
	if holder, ok := onlyHolder(socket); ok {
		// A full map lets the socket's events through to user space.
		_ = s.owners.Update(socket.ID.Cookie, holder.PID, ebpf.UpdateNoExist)
	}
}

// lost asks for a sweep if events were lost.
func (s *sweeper) lost(any bool) {
	if s != nil && any {
		s.wanted = true
	}
}

// horizon keeps back what is newer than the begin of a running sweep.
func (s *sweeper) horizon(limit event.Time) event.Time {
	if s != nil && s.running && s.begun < limit {
		return s.begun
	}
	return limit
}

// stop ends a running sweep, whose result is dropped.
func (s *sweeper) stop() {
	if s == nil || !s.running {
		return
	}
	s.cancel()
	<-s.done
	s.running = false
}

func (s *sweeper) close() error {
	if s == nil {
		return nil
	}
	s.stop()
	return errors.Join(s.reader.Close(), s.names.Close())
}
