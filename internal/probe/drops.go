//go:build linux

package probe

import "slices"

// ordinaryDrops are reasons for which the kernel frees packets of TCP in the
// course of its work, or answers them with a RST, which is told by itself
// (include/net/dropreason-core.h). Every other reason that it names tells of a
// packet that is missed; so does one that a later kernel adds.
var ordinaryDrops = []string{
	"NO_SOCKET",         // a RST answers it
	"TCP_ABORT_ON_DATA", // likewise
	"TCP_RESET",         // it was a RST
	"TCP_CLOSE",         // it met a socket that was just closed
	"TCP_OFOMERGE",      // its data is there already, out of order
	"SOCKET_CLOSE",      // what nobody read of a closed socket
	"QUEUE_PURGE",
	"UNIX_DISCONNECT", "UNIX_SKIP_OOB",
	"OTHERHOST", // a promiscuous device shows others' packets
	"UNHANDLED_PROTO",
	"PACKET_SOCK_ERROR", // of copies that sniffers get
	"TAP_FILTER", "TAP_TXFILTER",
}

// toldDrops is the set of reasons, by number, for which the kernel side tells
// of a dropped packet.
func toldDrops(names []string) (set [4]uint64) {
	for number, name := range names {
		if name != "" && number < 64*len(set) && !slices.Contains(ordinaryDrops, name) {
			set[number/64] |= 1 << (number % 64)
		}
	}
	return set
}
