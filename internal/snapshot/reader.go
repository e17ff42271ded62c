//go:build linux

package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
)

// A Reader takes snapshots. It keeps its BPF programs loaded, which cost
// nothing while no snapshot is taken.
type Reader struct {
	programs bpf.SnapshotPrograms
	only     *ebpf.Variable // the process whose descriptors files lists; 0: all
	sockets  *link.Iter     // those of the namespace of the thread that opens it
	files    *link.Iter     // descriptors, of every process of the PID namespace
	hz       uint64         // jiffies a second
	cookies  bool           // the iterators make cookies

	mu      sync.Mutex // held by Take and Descriptors
	scratch []uint64
}

// features are what the kernel offers beyond the iterators.
type features struct {
	cookieHelper bool // iterators may make a socket's cookie (Linux 5.12)
	sockFromFile bool // a helper leads from a file to its socket (Linux 5.11)

	listeners *ebpf.Map // see OpenFor; not the kernel's
}

// Open loads the iterators. It returns ErrPrivileges where the process may not
// load them and ErrUnsupported where the kernel has none.
func Open() (*Reader, error) { return OpenFor(btf.NewCache(), nil) }

// OpenFor is Open with the kernel's types from a cache, as reading them takes longer
// than all else here. Each snapshot puts the listeners that it finds into the
// map, by their addresses in the kernel's memory (bpf/listeners.h).
func OpenFor(cache *btf.Cache, listeners *ebpf.Map) (*Reader, error) {
	types, err := cache.Kernel()
	if err != nil {
		return nil, fmt.Errorf("%w: read the kernel's BTF: %w", ErrUnsupported, err)
	}
	for _, name := range []string{"bpf_iter_tcp", "bpf_iter_task_file"} {
		if !hasFunction(types, name) {
			return nil, fmt.Errorf("%w: no %s", ErrUnsupported, name)
		}
	}
	return open(cache, types, features{
		cookieHelper: hasFunction(types, "bpf_get_socket_ptr_cookie"),
		sockFromFile: hasFunction(types, "bpf_sock_from_file"),
		listeners:    listeners,
	})
}

func hasFunction(types *btf.Spec, name string) bool {
	var fn *btf.Func
	return types.TypeByName(name, &fn) == nil
}

func open(cache *btf.Cache, types *btf.Spec, has features) (*Reader, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("lift the limit on locked memory: %w", explain(err))
	}
	spec, err := bpf.LoadSnapshot()
	if err != nil {
		return nil, fmt.Errorf("read the snapshot's BPF object: %w", err)
	}
	err = errors.Join(
		spec.Variables[bpf.SnapshotVarHasCookieHelper].Set(has.cookieHelper),
		spec.Variables[bpf.SnapshotVarHasSockFromFile].Set(has.sockFromFile),
	)
	if err != nil {
		return nil, fmt.Errorf("set the snapshot's configuration: %w", err)
	}
	r := &Reader{hz: ticksPerSecond(), cookies: has.cookieHelper, scratch: make([]uint64, scratchWords)}
	options := ebpf.CollectionOptions{Cache: cache, Programs: ebpf.ProgramOptions{KernelTypes: types}}
	if has.listeners != nil {
		options.MapReplacements = map[string]*ebpf.Map{bpf.SnapshotMapListeners: has.listeners}
	} else {
		spec.Maps[bpf.SnapshotMapListeners].MaxEntries = 1
	}
	var objects struct {
		bpf.SnapshotPrograms
		HoldersOf *ebpf.Variable `ebpf:"holders_of"`
	}
	if err := spec.LoadAndAssign(&objects, &options); err != nil {
		return nil, fmt.Errorf("load the snapshot's iterators: %w", explain(err))
	}
	r.programs, r.only = objects.SnapshotPrograms, objects.HoldersOf
	if err := r.attach(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Reader) attach() error {
	var err error
	if r.sockets, err = link.AttachIter(link.IterOptions{Program: r.programs.TtIterTcp}); err != nil {
		return fmt.Errorf("attach tt_iter_tcp: %w", explain(err))
	}
	if r.files, err = link.AttachIter(link.IterOptions{Program: r.programs.TtIterFile}); err != nil {
		return fmt.Errorf("attach tt_iter_file: %w", explain(err))
	}
	return nil
}

// Close unloads the programs.
func (r *Reader) Close() error {
	var errs []error
	if r.sockets != nil {
		errs = append(errs, r.sockets.Close())
	}
	if r.files != nil {
		errs = append(errs, r.files.Close())
	}
	return errors.Join(append(errs, r.programs.Close())...)
}

// Take opens a Reader for a single snapshot.
func Take(ctx context.Context, opts Options) (*Snapshot, error) {
	r, err := Open()
	if err != nil {
		return nil, err
	}
	snap, err := r.Take(ctx, opts)
	return snap, errors.Join(err, r.Close())
}

// Take lists the sockets. It may be called from several goroutines, which
// wait for each other; a snapshot is the caller's. If ctx ends, so does Take,
// with its error.
func (r *Reader) Take(ctx context.Context, opts Options) (*Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	snap := &Snapshot{Time: now()}
	join := &joiner{snap: snap, held: opts.Held, read: map[uint32]bool{}}
	if err := r.listNamespaces(ctx, opts.Namespaces, join); err != nil {
		return nil, err
	}
	if err := r.listHolders(ctx, join); err != nil {
		return nil, err
	}
	if opts.Held {
		if err := r.listHeld(ctx, join); err != nil {
			return nil, err
		}
	}
	join.finish()
	return snap, nil
}

// listNamespaces reads the sockets of the given namespaces.
func (r *Reader) listNamespaces(ctx context.Context, namespaces []NetNS, join *joiner) error {
	if len(namespaces) == 0 {
		namespaces = []NetNS{{Path: ownNamespace()}}
	}
	err := r.visit(ctx, byPath(namespaces), join)
	if err != nil {
		return err
	}
	join.index()
	return nil
}

// listHeld reads the sockets of the namespaces that are known from descriptors
// only.
func (r *Reader) listHeld(ctx context.Context, join *joiner) error {
	held := byHolder(join)
	if len(held) == 0 {
		return nil
	}
	if err := r.visit(ctx, held, join); err != nil {
		return err
	}
	join.index()
	join.late()
	return nil
}

// listSockets reads those of the calling thread's namespace.
func (r *Reader) listSockets(ctx context.Context, snap *Snapshot) error {
	if !r.cookies {
		if err := makeCookies(); err != nil {
			return err
		}
	}
	sockets, known := expected()
	if known && sockets == 0 {
		return nil
	}
	snap.Sockets = slices.Grow(snap.Sockets, sockets+sockets/64)
	iterator, err := r.sockets.Open()
	if err != nil {
		return fmt.Errorf("open tt_iter_tcp: %w", explain(err))
	}
	defer iterator.Close()
	var bad error
	err = readRecords(ctx, iterator, r.scratch, func(raw []bpf.SnapshotTtSocket) {
		for i := range raw {
			var s Socket
			if err := decode(&raw[i], r.hz, &s); err != nil {
				bad = err
				continue
			}
			snap.Sockets = append(snap.Sockets, s)
		}
	})
	if err := errors.Join(err, bad); err != nil {
		return fmt.Errorf("read tt_iter_tcp: %w", err)
	}
	return nil
}

// expected returns how many sockets the thread's namespace has, but for its
// requests, which need a listener. Namespaces share one table, which is long
// to walk: where there is nothing to find, it need not be; and room is made
// once. It returns false where the kernel does not say.
func expected() (sockets int, known bool) {
	for _, file := range []string{"sockstat", "sockstat6"} {
		text, err := os.ReadFile("/proc/thread-self/net/" + file)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // no IPv6
			return 0, false
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line) // TCP: inuse 3 orphan 0 tw 0 ...
			if len(fields) == 0 || fields[0] != "TCP:" && fields[0] != "TCP6:" {
				continue
			}
			known = true
			for i := 1; i+1 < len(fields); i += 2 {
				if fields[i] == "inuse" || fields[i] == "tw" {
					n, _ := strconv.Atoi(fields[i+1]) // the kernel writes numbers
					sockets += n
				}
			}
		}
	}
	return sockets, known
}

// explain adds the remedy to an error that the kernel gave for want of
// privileges.
func explain(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w (%v)", ErrPrivileges, err)
	}
	return err
}

// now reads the clock of the kernel's time stamps.
func now() event.Time {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail for this clock
	return event.Time(t.Nano())
}

// ticksPerSecond returns HZ: the coarse clock advances by one jiffy.
func ticksPerSecond() uint64 {
	var resolution unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &resolution); err != nil || resolution.Nano() <= 0 {
		return 250
	}
	return uint64(time.Second) / uint64(resolution.Nano())
}
