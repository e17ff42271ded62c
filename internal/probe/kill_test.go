//go:build linux

package probe_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A killOrder is a struct inet_diag_req_v2 that names one socket.
type killOrder [56]byte

func (k *killOrder) Len() int          { return len(k) }
func (k *killOrder) Serialize() []byte { return k[:] }

// kill ends the socket between the two ports, of whatever kind it is, as "ss -K"
// does.
func (s side) kill(from, to int) error {
	var k killOrder
	k[0], k[1] = uint8(s.domain), unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(k[8:], uint16(from))
	binary.BigEndian.PutUint16(k[10:], uint16(to))
	copy(k[12:], s.addr.AsSlice())
	copy(k[28:], s.addr.AsSlice())
	for i := 48; i < 56; i++ {
		k[i] = 0xff // whatever its cookie
	}
	request := nl.NewNetlinkRequest(nl.SOCK_DESTROY, unix.NLM_F_ACK)
	request.AddData(&k)
	_, err := request.Execute(unix.NETLINK_INET_DIAG, 0)
	if errors.Is(err, unix.EOPNOTSUPP) { // of a timewait socket
		return tooOld{fmt.Errorf("kill a socket: %w", err)}
	}
	return err
}

// disconnect makes a socket as new.
func disconnect(fd int) {
	unspec := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	if _, _, err := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unspec)), unsafe.Sizeof(unspec)); err != 0 {
		panic(err)
	}
}
