//go:build linux

package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// makeCookies gives each socket of the thread's namespace a cookie, on kernels
// whose iterators cannot: sock_diag makes them as it dumps (inet_diag_msg_common_fill,
// sock_diag_save_cookie). What it says is not read.
func makeCookies() error {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := dump(family); err != nil {
			return fmt.Errorf("make socket cookies by sock_diag (needs CONFIG_INET_DIAG): %w", err)
		}
	}
	return nil
}

// diagRequest is a struct inet_diag_req_v2 behind its netlink header.
type diagRequest struct {
	header   unix.NlMsghdr
	family   uint8
	protocol uint8
	ext, pad uint8
	states   uint32
	id       [48]byte // struct inet_diag_sockid
}

const sockDiagByFamily = 20 // include/uapi/linux/sock_diag.h

func dump(family uint8) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request := diagRequest{
		header:   unix.NlMsghdr{Type: sockDiagByFamily, Flags: unix.NLM_F_REQUEST | unix.NLM_F_DUMP},
		family:   family,
		protocol: unix.IPPROTO_TCP,
		states:   ^uint32(0),
	}
	request.header.Len = uint32(unsafe.Sizeof(request))
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&request)), unsafe.Sizeof(request))
	if err := unix.Sendto(fd, raw, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	return drain(fd)
}

// drain reads replies until the dump is done.
func drain(fd int) error {
	var buf [32 << 10]byte
	for {
		n, err := unix.Read(fd, buf[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if done, err := dumpEnded(buf[:n]); done || err != nil {
			return err
		}
	}
}

// dumpEnded looks for the end of the dump among messages. It comes in a
// datagram of its own or behind the last records.
func dumpEnded(messages []byte) (bool, error) {
	for len(messages) >= unix.SizeofNlMsghdr {
		size := binary.NativeEndian.Uint32(messages)
		switch binary.NativeEndian.Uint16(messages[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(messages) < unix.SizeofNlMsghdr+4 {
				return false, errors.New("netlink error without a number")
			}
			code := int32(binary.NativeEndian.Uint32(messages[unix.SizeofNlMsghdr:]))
			return false, unix.Errno(-code)
		}
		if size < unix.SizeofNlMsghdr {
			return false, fmt.Errorf("netlink message that says it has %d bytes", size)
		}
		messages = messages[min(int(size+3)&^3, len(messages)):]
	}
	return false, nil
}
