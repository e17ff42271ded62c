//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNoURing says that this kernel has no io_uring, or forbids it: see sysctl
// kernel.io_uring_disabled, and seccomp filters. A test may skip on that.
var ErrNoURing = errors.New("io_uring is not to be had")

// What we use of include/uapi/linux/io_uring.h.
const (
	uringOffRings   = 0
	uringOffEntries = 0x10000000

	uringAccept = 13
	uringClose  = 19
	uringSend   = 26
	uringRecv   = 27

	uringAsync = 1 << 4 // IOSQE_ASYNC: a worker thread of the kernel does it

	uringSingleMap = 1 << 0 // IORING_FEAT_SINGLE_MMAP
)

type uringParams struct {
	sqEntries, cqEntries, flags, threadCPU, threadIdle, features, wqFD uint32
	_                                                                  [3]uint32
	sq                                                                 uringOffsets
	cq                                                                 uringOffsets
}

// uringOffsets are struct io_sqring_offsets, with its array, or struct
// io_cqring_offsets, with its cqes.
type uringOffsets struct {
	head, tail, mask, entries uint32
	a, b, c, d                uint32
	_                         uint64
}

// A request is struct io_uring_sqe.
type request struct {
	op     uint8
	flags  uint8
	ioprio uint16
	fd     int32
	off    uint64
	addr   uint64
	length uint32
	opcode uint32 // flags of the operation
	user   uint64
	_      [3]uint64
}

type completion struct {
	user  uint64
	res   int32
	flags uint32
}

// A uring carries one request at a time.
type uring struct {
	fd      int
	rings   []byte
	entries []byte
	params  uringParams
}

func newURing() (*uring, error) {
	u := &uring{fd: -1}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&u.params)), 0)
	switch errno {
	case 0:
	case unix.ENOSYS, unix.EPERM:
		return nil, fmt.Errorf("%w: %w", ErrNoURing, errno)
	default:
		return nil, fmt.Errorf("set up an io_uring: %w", errno)
	}
	u.fd = int(fd)
	unix.CloseOnExec(u.fd)
	if u.params.features&uringSingleMap == 0 {
		u.close()
		return nil, fmt.Errorf("%w: it is older than Linux 5.4", ErrNoURing)
	}
	size := max(u.params.sq.c+4*u.params.sqEntries, u.params.cq.b+uint32(unsafe.Sizeof(completion{}))*u.params.cqEntries)
	var err error
	if u.rings, err = u.mapped(uringOffRings, int(size)); err == nil {
		u.entries, err = u.mapped(uringOffEntries, int(unsafe.Sizeof(request{}))*int(u.params.sqEntries))
	}
	if err != nil {
		u.close()
		return nil, fmt.Errorf("map an io_uring: %w", err)
	}
	return u, nil
}

func (u *uring) mapped(offset int64, size int) ([]byte, error) {
	return unix.Mmap(u.fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
}

func (u *uring) close() {
	if u.rings != nil {
		_ = unix.Munmap(u.rings)
	}
	if u.entries != nil {
		_ = unix.Munmap(u.entries)
	}
	unix.Close(u.fd)
}

func (u *uring) word(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&u.rings[offset])) }

// do submits the request and returns its result, as the system call of that
// name would. r.addr must point to memory that does not move.
func (u *uring) do(ctx context.Context, r request) (int, error) {
	*(*request)(unsafe.Pointer(&u.entries[0])) = r
	sq, cq := &u.params.sq, &u.params.cq
	tail := u.word(sq.tail)
	*u.word(sq.c + 4*(*tail&*u.word(sq.mask))) = 0 // the array: which entry
	atomic.AddUint32(tail, 1)
	for {
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(u.fd), 1, 0, 0, 0, 0)
		if errno == 0 {
			break
		}
		if errno != unix.EINTR {
			return 0, fmt.Errorf("submit to an io_uring: %w", errno)
		}
	}
	head := u.word(cq.head)
	for atomic.LoadUint32(u.word(cq.tail)) == *head {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if err := (&socket{fd: u.fd}).wait(ctx, unix.POLLIN); err != nil {
			return 0, err
		}
	}
	entry := cq.b + uint32(unsafe.Sizeof(completion{}))*(*head&*u.word(cq.mask))
	c := *(*completion)(unsafe.Pointer(&u.rings[entry]))
	atomic.AddUint32(head, 1)
	if c.res < 0 {
		return 0, unix.Errno(-c.res)
	}
	return int(c.res), nil
}

// hasURing says whether this process may use io_uring.
func hasURing() error {
	u, err := newURing()
	if err != nil {
		return err
	}
	u.close()
	return nil
}

// playRinger accepts, reads, writes and closes by io_uring alone; for every
// other client the kernel does so in a thread of its own making.
func playRinger(ctx context.Context, a *actor) error {
	listener, err := a.listen()
	if err != nil {
		return err
	}
	// io_uring waits only on what would block.
	if err := unix.SetNonblock(listener.fd, false); err != nil {
		return fmt.Errorf("let the listener block: %w", err)
	}
	ring, err := newURing()
	if err != nil {
		return err
	}
	defer ring.close()
	buffer, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("map a buffer: %w", err)
	}
	a.tell(&report{Serving: os.Getpid()})
	for flags := uint8(0); ; flags ^= uringAsync {
		fd, err := ring.do(ctx, request{op: uringAccept, flags: flags, fd: int32(listener.fd), opcode: unix.SOCK_CLOEXEC})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept by io_uring: %w", err)
		}
		g := &guest{socket: &socket{fd: fd}, truth: TruthConn{
			AccepterPID: os.Getpid(), ReaderPID: os.Getpid(), ServerCloserPID: os.Getpid(),
		}}
		if err := g.identify(); err != nil {
			return err
		}
		if err := ring.serve(ctx, int32(fd), flags, buffer); err != nil {
			return err
		}
		a.tell(&report{Conn: &g.truth})
	}
}

// serve answers and closes.
func (u *uring) serve(ctx context.Context, fd int32, flags uint8, buffer []byte) error {
	addr := uint64(uintptr(unsafe.Pointer(&buffer[0])))
	for _, step := range []request{
		{op: uringRecv, addr: addr, length: uint32(len(buffer))},
		{op: uringSend, addr: addr, length: uint32(len(message))},
		{op: uringClose},
	} {
		step.fd, step.flags = fd, flags
		n, err := u.do(ctx, step)
		if err != nil {
			return fmt.Errorf("operation %d of io_uring: %w", step.op, err)
		}
		if step.op == uringRecv && n != len(message) {
			return fmt.Errorf("receive by io_uring: %d bytes instead of %d", n, len(message))
		}
	}
	return nil
}
