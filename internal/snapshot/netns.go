//go:build linux

package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/bpf"
)

// A door is a way into a namespace: open returns a descriptor of it.
type door struct {
	ns   NetNS
	open func() (int, error)
}

var errGone = errors.New("the namespace is gone")

// ownNamespace is the path of the calling thread's, for any thread to open
// while the calling one waits.
func ownNamespace() string { return fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()) }

func byPath(namespaces []NetNS) []door {
	doors := make([]door, 0, len(namespaces))
	for _, ns := range namespaces {
		doors = append(doors, door{ns, func() (int, error) {
			fd, err := unix.Open(ns.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
				err = errGone
			}
			return fd, err
		}})
	}
	return doors
}

// triesPerDoor is how many descriptors are tried to enter a namespace.
const triesPerDoor = 8

// byHolder gives the ways into the namespaces that were not listed, by the
// sockets that processes hold of them: no process need live there, nor a file
// lead there.
func byHolder(join *joiner) []door {
	ways := map[uint32][]*bpf.SnapshotTtHolder{}
	see := func(raw *bpf.SnapshotTtHolder) {
		if !join.read[raw.Netns] && len(ways[raw.Netns]) < triesPerDoor {
			ways[raw.Netns] = append(ways[raw.Netns], raw)
		}
	}
	for i := range join.unread {
		see(&join.unread[i])
	}
	for _, raw := range join.byInode {
		for i := range raw {
			see(&raw[i])
		}
	}
	var doors []door
	for inode, holders := range ways {
		doors = append(doors, door{ns: NetNS{Inode: inode}, open: func() (int, error) {
			for _, h := range holders {
				if fd, err := openHeld(int(h.Pid), int(h.Fd), inode); !errors.Is(err, errGone) {
					return fd, err
				}
			}
			return -1, errGone
		}})
	}
	slices.SortFunc(doors, func(a, b door) int { return cmp.Compare(a.ns.Inode, b.ns.Inode) })
	return doors
}

// openHeld opens the namespace of the socket that a process has as fd. Where
// it is not that of the inode, the process has ended or closed the socket.
func openHeld(pid, fd int, inode uint32) (int, error) {
	process, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, errGone
	}
	if err != nil {
		return -1, fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(process)
	socket, err := unix.PidfdGetfd(process, fd, 0)
	if errors.Is(err, unix.EBADF) || errors.Is(err, unix.ESRCH) {
		return -1, errGone
	}
	if err != nil {
		return -1, fmt.Errorf("copy descriptor %d of process %d (needs CAP_SYS_PTRACE): %w", fd, pid, err)
	}
	defer unix.Close(socket)
	ns, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCGSKNS, 0)
	if errno == unix.EPERM {
		return -1, fmt.Errorf("open the namespace of a socket (needs CAP_NET_ADMIN there): %w", errno)
	}
	if errno != 0 {
		return -1, errGone // no longer a socket
	}
	if got, err := inodeOf(int(ns)); err != nil || got != inode {
		return -1, errors.Join(errGone, err, unix.Close(int(ns)))
	}
	return int(ns), nil
}

func inodeOf(fd int) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("stat a namespace: %w", err)
	}
	return uint32(st.Ino), nil
}

// visit lists the sockets of each namespace from a thread of its own, which
// ends with it if it cannot be brought back to where it was.
func (r *Reader) visit(ctx context.Context, doors []door, join *joiner) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("open this thread's network namespace: %w", err)
			return
		}
		defer unix.Close(home)
		err = r.visitFrom(ctx, home, doors, join)
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

func (r *Reader) visitFrom(ctx context.Context, home int, doors []door, join *joiner) error {
	here, err := inodeOf(home)
	if err != nil {
		return err
	}
	for _, d := range doors {
		if join.read[d.ns.Inode] {
			continue
		}
		inode, err := enter(d, here)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			join.snap.Unread = append(join.snap.Unread, Unread{d.ns, err})
			continue
		}
		here = inode
		if join.read[inode] {
			continue
		}
		if err := r.listSockets(ctx, join.snap); err != nil {
			return err
		}
		join.read[inode] = true
	}
	return nil
}

// enter moves the thread from the namespace here to that behind the door, and
// returns its inode.
func enter(d door, here uint32) (uint32, error) {
	fd, err := d.open()
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	inode, err := inodeOf(fd)
	if err != nil {
		return 0, err
	}
	if d.ns.Inode != 0 && inode != d.ns.Inode {
		return 0, errGone
	}
	if inode == here {
		return inode, nil
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return 0, fmt.Errorf("enter network namespace %d (needs CAP_SYS_ADMIN): %w", inode, err)
	}
	return inode, nil
}
