package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/proc"
)

// NewMeter returns a Meter of the given network namespaces, by inode, or of
// all that can be found. It needs CAP_SYS_ADMIN to enter those of others.
func NewMeter(netns []uint32) (*Meter, error) {
	names, err := proc.NewResolver(proc.Options{})
	if err != nil {
		return nil, fmt.Errorf("find the network namespaces: %w", err)
	}
	f := finder{names: names, wanted: netns, known: map[uint32]proc.NetNS{}}
	return newMeter(func() ([]Reading, error) { return f.read(readAll) }), nil
}

// A finder finds the namespaces that are audited.
type finder struct {
	names  *proc.Resolver
	wanted []uint32 // empty: all
	known  map[uint32]proc.NetNS
}

// read reads the figures of all. Who led to a namespace may have ended before it
// could be entered, and another may still be there: it is looked for again.
func (f *finder) read(readAll func([]proc.NetNS) ([]Reading, error)) ([]Reading, error) {
	var readings []Reading
	for range 3 {
		all, err := f.find()
		if err != nil {
			return nil, err
		}
		left := slices.DeleteFunc(all, func(ns proc.NetNS) bool {
			return slices.ContainsFunc(readings, func(r Reading) bool { return r.NetNS == ns.Inode })
		})
		if len(left) == 0 {
			break
		}
		more, err := readAll(left)
		if err != nil {
			return nil, err
		}
		readings = append(readings, more...)
	}
	slices.SortFunc(readings, func(a, b Reading) int { return cmp.Compare(a.NetNS, b.NetNS) })
	return readings, nil
}

// find lists the namespaces. A scan of the threads may overlook one that is
// held by threads alone which come and go; so one that was found before is
// looked for three times, and where it was.
func (f *finder) find() ([]proc.NetNS, error) {
	found := map[uint32]proc.NetNS{}
	for range 3 {
		all, err := f.names.NetNamespaces()
		if err != nil {
			return nil, err
		}
		for _, ns := range all {
			if len(f.wanted) == 0 || slices.Contains(f.wanted, ns.Inode) {
				found[ns.Inode] = ns
			}
		}
		if f.hasAll(found) {
			break
		}
	}
	for inode, ns := range f.known {
		if _, ok := found[inode]; !ok {
			found[inode] = ns
		}
	}
	f.known = found
	return slices.SortedFunc(maps.Values(found), func(a, b proc.NetNS) int { return cmp.Compare(a.Inode, b.Inode) }), nil
}

// hasAll reports whether all that were known before, and all that are asked
// for, are found.
func (f *finder) hasAll(found map[uint32]proc.NetNS) bool {
	for inode := range f.known {
		if _, ok := found[inode]; !ok {
			return false
		}
	}
	return len(found) >= len(f.wanted)
}

// readAll reads the figures of the namespaces, from a thread of its own, which
// ends with it if it cannot be brought back to where it was. It leaves out
// those that are gone.
func readAll(namespaces []proc.NetNS) ([]Reading, error) {
	var (
		readings []Reading
		err      error
	)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var home *os.File
		if home, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			runtime.UnlockOSThread()
			return
		}
		defer home.Close()
		readings, err = visit(namespaces)
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return readings, err
}

// visit moves the calling thread through the namespaces.
func visit(namespaces []proc.NetNS) ([]Reading, error) {
	readings := make([]Reading, 0, len(namespaces))
	for _, ns := range namespaces {
		r, err := readOne(ns)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return nil, err
		}
		readings = append(readings, *r)
	}
	return readings, nil
}

// readOne reads the figures of one namespace: from within, or, without the
// capability to enter it, by a process that is there.
func readOne(ns proc.NetNS) (*Reading, error) {
	f, err := ns.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &Reading{NetNS: ns.Inode, Name: ns.Name}
	err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
	if err == nil {
		r.FinTimeout = finTimeout()
		if err := r.readFrom("/proc/thread-self"); err != nil {
			return nil, fmt.Errorf("network namespace %d: %w", ns.Inode, err)
		}
		return r, nil
	}
	process, ok := strings.CutSuffix(ns.Path, "/ns/net")
	if !errors.Is(err, unix.EPERM) || !ok {
		return nil, fmt.Errorf("enter network namespace %d (needs CAP_SYS_ADMIN): %w", ns.Inode, err)
	}
	if err := r.readFrom(process); err != nil {
		return nil, fmt.Errorf("network namespace %d: %w", ns.Inode, err)
	}
	again, err := ns.Open()
	if err != nil { // the process has left it, or ended
		return nil, err
	}
	return r, again.Close()
}

// readFrom reads the figures of the namespace that the task with this
// directory is in.
func (r *Reading) readFrom(dir string) error {
	r.Window.From = now()
	snmp, err := os.ReadFile(dir + "/net/snmp")
	if err != nil {
		return err
	}
	netstat, err := os.ReadFile(dir + "/net/netstat")
	if err != nil {
		return err
	}
	r.Window.To = now()
	r.Values, err = Parse(string(snmp), string(netstat))
	return err
}

// finTimeout returns tcp_fin_timeout of the calling thread's namespace.
func finTimeout() time.Duration {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_fin_timeout")
	if err != nil {
		return 0
	}
	seconds, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// now reads the clock of the events' times.
func now() event.Time {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail for this clock
	return event.Time(t.Nano())
}
