// Package drop says what the kernel's names of why it dropped a packet of TCP
// mean for the connection that misses it, and counts such packets. It is pure.
//
// The names are those of enum skb_drop_reason (include/net/dropreason-core.h),
// without its prefix; the kernel gives them from Linux 5.17.
package drop

// A Kind is what dropped a packet, as far as that tells what to do about it.
type Kind uint8

const (
	// Other: a reason of which nothing more is known here. It is told by name.
	Other Kind = iota

	// Aftermath: nothing is missed. The packet was a copy of what the receiver
	// had, or came when nobody waited for it any more: that tells of a loss
	// elsewhere, or of none.
	Aftermath

	Firewall     // nftables or iptables
	SocketFilter // a BPF program or a security module, at the socket or its cgroup
	Program      // a BPF program at the device: XDP or tc
	Buffer       // the receiving socket's buffer is full
	Backlog      // packets came while the receiving process had its socket locked
	Memory       // the kernel has no memory for it
	Queue        // the device's queue, or its shaper, is full
	Processor    // the queue between the device and TCP of one processor is full
	Route        // there is no route, or not by that device (rp_filter)
	Neighbour    // nobody answers for the next hop's address (ARP, NDP)
	Device       // the device, or a policy of IPsec, does not take it
	Damaged      // its checksum or its headers are wrong
	Signature    // TCP-MD5 or TCP-AO
	Stamp        // its time stamp or its sequence number is not one of this connection's

	numKinds
)

var kinds = map[string]Kind{
	"TCP_OLD_DATA": Aftermath, "TCP_OFOMERGE": Aftermath, "TCP_OLD_SEQUENCE": Aftermath, "TCP_OLD_ACK": Aftermath,
	"TCP_TOO_OLD_ACK": Aftermath, "DUP_FRAG": Aftermath, "TCP_FASTOPEN": Aftermath, "TCP_RESET": Aftermath,
	"TCP_CLOSE": Aftermath, "NO_SOCKET": Aftermath, "SOCKET_CLOSE": Aftermath, "TCP_ABORT_ON_DATA": Aftermath,
	"QUEUE_PURGE": Aftermath, "TCP_INVALID_SYN": Aftermath, "TCP_FLAGS": Aftermath, "TCP_ACK_UNSENT_DATA": Aftermath,
	"TCP_RFC7323_TW_PAWS": Aftermath, "TCP_RFC7323_PAWS_ACK": Aftermath,
	"TCP_INVALID_SEQUENCE": Aftermath, // older kernels call a copy so, too
	"TCP_LISTEN_OVERFLOW":  Aftermath, // accept-queue-overflow tells that

	"NETFILTER_DROP": Firewall,

	"SOCKET_FILTER": SocketFilter, "BPF_CGROUP_EGRESS": SocketFilter, "SECURITY_HOOK": SocketFilter,

	"XDP": Program, "TC_INGRESS": Program, "TC_EGRESS": Program, "TC_COOKIE_ERROR": Program,
	"TC_CHAIN_NOTFOUND": Program, "TC_RECLASSIFY_LOOP": Program,

	"PROTO_MEM":                Buffer, // tcp_data_queue: of the socket, or of TCP
	"TCP_INVALID_END_SEQUENCE": Buffer, // it reaches beyond the window, and something waits to be read
	"SOCKET_RCVBUFF":           Buffer, "TCP_ZEROWINDOW": Buffer, "TCP_OVERWINDOW": Buffer,
	"TCP_OFO_QUEUE_PRUNE": Buffer, "TCP_OFO_DROP": Buffer,

	"SOCKET_BACKLOG": Backlog,

	"NOMEM": Memory, "PFMEMALLOC": Memory, "SKB_UCOPY_FAULT": Memory,

	"QDISC_DROP": Queue, "QDISC_OVERLIMIT": Queue, "QDISC_CONGESTED": Queue, "CAKE_FLOOD": Queue, "FQ_BAND_LIMIT": Queue,
	"FQ_HORIZON_LIMIT": Queue, "FQ_FLOW_LIMIT": Queue, "FULL_RING": Queue, "DUALPI2_STEP_DROP": Queue,

	"CPU_BACKLOG": Processor,

	"IP_OUTNOROUTES": Route, "IP_INNOROUTES": Route, "IP_RPFILTER": Route, "IP_INADDRERRORS": Route,
	"IP_LOCAL_SOURCE": Route, "IP_INVALID_SOURCE": Route, "IP_LOCALNET": Route, "IP_INVALID_DEST": Route, "IPV6DISABLED": Route,

	"NEIGH_CREATEFAIL": Neighbour, "NEIGH_FAILED": Neighbour, "NEIGH_QUEUEFULL": Neighbour, "NEIGH_DEAD": Neighbour,
	"NEIGH_HH_FILLFAIL": Neighbour,

	"DEV_HDR": Device, "DEV_READY": Device, "XFRM_POLICY": Device, "PKT_TOO_BIG": Device, "SKB_GSO_SEG": Device,
	"NO_TX_TARGET": Device, "RECURSION_LIMIT": Device, "BRIDGE_INGRESS_STP_STATE": Device,

	"TCP_CSUM": Damaged, "IP_CSUM": Damaged, "SKB_CSUM": Damaged, "IP_INHDR": Damaged, "PKT_TOO_SMALL": Damaged, "HDR_TRUNC": Damaged,

	"TCP_AUTH_HDR": Signature, "TCP_MD5NOTFOUND": Signature, "TCP_MD5UNEXPECTED": Signature, "TCP_MD5FAILURE": Signature,
	"TCP_AONOTFOUND": Signature, "TCP_AOUNEXPECTED": Signature, "TCP_AOKEYNOTFOUND": Signature, "TCP_AOFAILURE": Signature,

	"TCP_RFC7323_PAWS": Stamp, "TCP_RFC7323_TSECR": Stamp, "TCP_INVALID_ACK_SEQUENCE": Stamp, "TCP_MINTTL": Stamp,
}

// KindOf returns the kind of a reason; Other for one that is not known.
func KindOf(reason string) Kind { return kinds[reason] }

type words struct{ who, advice string }

var kindWords = [numKinds]words{
	Other: {"the kernel of this host drops them",
		"Look for the reason's name in include/net/dropreason-core.h of the kernel's source: it says where the packets are dropped."},
	Firewall: {"a firewall of this host drops them",
		"Look at the firewall's rules in that namespace, whose counters tell which one it is (nft list ruleset, iptables -L -v -n), and let" +
			" these connections pass."},
	SocketFilter: {"a filter at the socket or its cgroup drops them, on this host",
		"See what filters there: ss -tnb shows a socket's filter, bpftool cgroup tree the programs of its cgroup; a security module" +
			" (SELinux, AppArmor) logs what it denies."},
	Program: {"a BPF program at a device of this host drops them",
		"See which it is: bpftool net show, in that namespace."},
	Buffer: {"the receiving socket on this host has no room for them",
		"Find out why the receiving process does not read (its Recv-Q in ss -tn); where it does, raise net.ipv4.tcp_rmem's third figure or" +
			" its SO_RCVBUF. Where mem in /proc/net/sockstat comes near net.ipv4.tcp_mem, all of TCP is short of memory."},
	Backlog: {"they come faster than the receiving process on this host lets go of its socket",
		"Let the receiver read in larger pieces, or pace the sender (fq, SO_MAX_PACING_RATE); a larger net.ipv4.tcp_rmem lets more wait."},
	Memory: {"the kernel of this host has no memory for them",
		"Compare mem in /proc/net/sockstat with net.ipv4.tcp_mem (both in pages), and look for sockets that hold much (ss -tnm)."},
	Queue: {"the queue of a device of this host is full",
		"See whose it is (tc -s qdisc, in that namespace), and let senders pace (fq) or the shaper pass more."},
	Processor: {"the queue between a device and TCP of this host is full",
		"Spread the packets over the processors (RSS, RPS), or raise net.core.netdev_max_backlog."},
	Route: {"this host has no route for them, or does not take them from where they come (rp_filter)",
		"Look at ip route get and at net.ipv4.conf.*.rp_filter in that namespace."},
	Neighbour: {"nobody answers this host for the address of the next hop (ARP, NDP)",
		"Look at ip neigh in that namespace, and at the link to the next hop."},
	Device: {"a device of this host does not take them",
		"Look at ip -s link and, where IPsec is in use, at ip xfrm policy, in that namespace."},
	Damaged: {"they reach this host damaged",
		"Look at ethtool -S for errors of the device, and at what rewrites packets on the way; try with its checksum offload off."},
	Signature: {"their signature (TCP-MD5, TCP-AO) is not what this host expects",
		"Compare the keys of both ends; the kernel logs each failure."},
	Stamp: {"their time stamps or sequence numbers are not those of the connection",
		"Look for what answers in the peer's place, or rewrites packets: a NAT that forgot, two hosts behind one address."},
}

// Who says who drops such packets, as a sentence about "them".
func (k Kind) Who() string { return kindWords[k].who }

// Advice says what to do about it.
func (k Kind) Advice() string { return kindWords[k].advice }
