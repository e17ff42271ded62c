// Package sysctl reads sysctls that are in force in a network namespace, which
// may differ from namespace to namespace, and which device has which address
// there.
package sysctl

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/proc"
)

const (
	// fresh is how long values are believed.
	fresh = 10 * time.Second
	// retry is how long a namespace is believed to be gone: one that is found by
	// its processes may have to wait for the next look at these.
	retry = 100 * time.Millisecond
	// maxNamespaces bounds those that are remembered.
	maxNamespaces = 1024
)

// A Reader reads a fixed list of sysctls and remembers them for 10 s. One
// goroutine uses it.
type Reader struct {
	names    []string
	resolver *proc.Resolver
	known    map[uint32]values
}

type values struct {
	of      map[string]string
	devices map[netip.Addr]string
	at      time.Time
}

// NewReader returns a Reader of sysctls with these names, such as
// "net.ipv4.tcp_fin_timeout".
func NewReader(names []string) (*Reader, error) {
	resolver, err := proc.NewResolver(proc.Options{})
	if err != nil {
		return nil, err
	}
	return &Reader{names: names, resolver: resolver, known: map[uint32]values{}}, nil
}

// Close ends its use.
func (r *Reader) Close() error { return r.resolver.Close() }

// Sysctl returns the value of a sysctl in the network namespace with this
// inode, as it was up to 10 s ago; "" where that is not known: the namespace is
// gone, we may not enter it, or there is no such sysctl. Of one that holds for the
// whole host it is the host's, where we are in its first namespace. What was read of a namespace that is gone meanwhile
// stands.
func (r *Reader) Sysctl(netns uint32, name string) string {
	return r.values(netns).of[name]
}

// Device returns the name of the device that has a local address in the network
// namespace with this inode, as it was up to 10 s ago; "" where that is not
// known.
func (r *Reader) Device(netns uint32, local netip.Addr) string {
	return r.values(netns).devices[local]
}

// Devices returns the names of the devices of a network namespace, by their
// addresses; nil where they are not known. It is not to be changed.
func (r *Reader) Devices(netns uint32) map[netip.Addr]string { return r.values(netns).devices }

// Forget drops what is known of a namespace: if a sysctl is asked for, all are
// read again, and not known where that fails.
func (r *Reader) Forget(netns uint32) { delete(r.known, netns) }

func (r *Reader) values(netns uint32) values {
	v, ok := r.known[netns]
	if ok && time.Since(v.at) <= fresh {
		return v
	}
	now, err := r.read(netns)
	if err == nil {
		v = now
	}
	v.at = time.Now()
	if err != nil {
		v.at = v.at.Add(retry - fresh)
	}
	if len(r.known) >= maxNamespaces {
		clear(r.known)
	}
	r.known[netns] = v
	return v
}

func (r *Reader) read(netns uint32) (values, error) {
	door, err := r.resolver.OpenNetNS(netns)
	if err != nil {
		return values{}, err
	}
	defer door.Close()
	type result struct {
		values
		err error
	}
	done := make(chan result)
	go func() {
		v, err := r.readThrough(door)
		done <- result{v, err}
	}()
	got := <-done
	if got.err == nil {
		addHostWide(got.of, r.names)
	}
	return got.values, got.err
}

// hostWide are those that the first network namespace alone shows, as they hold
// for all.
var hostWide = []string{"net.ipv4.tcp_max_orphans", "net.ipv4.tcp_mem"}

// addHostWide adds those of names that the namespace did not show, if that which we
// are in does.
func addHostWide(of map[string]string, names []string) {
	for _, name := range hostWide {
		if _, shown := of[name]; !shown && slices.Contains(names, name) {
			readInto(of, name)
		}
	}
}

func readInto(of map[string]string, name string) {
	b, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err == nil {
		of[name] = strings.TrimSpace(string(b))
	}
}

// readThrough reads on a thread that enters the namespace, and ends in it: the
// goroutine never unlocks it. What /proc/sys/net shows is the namespace of the
// thread that opens the file.
func (r *Reader) readThrough(door *os.File) (values, error) {
	runtime.LockOSThread()
	if err := unix.Setns(int(door.Fd()), unix.CLONE_NEWNET); err != nil {
		return values{}, fmt.Errorf("enter the network namespace (needs CAP_SYS_ADMIN): %w", err)
	}
	of := make(map[string]string, len(r.names))
	for _, name := range r.names {
		readInto(of, name)
	}
	devices, err := devices()
	if err != nil {
		devices = nil // the sysctls are worth having without
	}
	return values{of: of, devices: devices}, nil
}
