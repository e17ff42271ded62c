package names

// resetReasons is enum sk_rst_reason (include/net/rstreason.h), without its
// prefix, as Linux 6.18 numbers it. The first kernel that has it is 6.10.
var resetReasons = [...]string{
	0:  "NOT_SPECIFIED",
	1:  "NO_SOCKET",
	2:  "TCP_INVALID_ACK_SEQUENCE",
	3:  "TCP_RFC7323_PAWS",
	4:  "TCP_TOO_OLD_ACK",
	5:  "TCP_ACK_UNSENT_DATA",
	6:  "TCP_FLAGS",
	7:  "TCP_OLD_ACK",
	8:  "TCP_ABORT_ON_DATA",
	9:  "TCP_TIMEWAIT_SOCKET",
	10: "INVALID_SYN",
	11: "TCP_ABORT_ON_CLOSE",
	12: "TCP_ABORT_ON_LINGER",
	13: "TCP_ABORT_ON_MEMORY",
	14: "TCP_STATE",
	15: "TCP_KEEPALIVE_TIMEOUT",
	16: "TCP_DISCONNECT_WITH_DATA",
	17: "MPTCP_RST_EUNSPEC",
	18: "MPTCP_RST_EMPTCP",
	19: "MPTCP_RST_ERESOURCE",
	20: "MPTCP_RST_EPROHIBIT",
	21: "MPTCP_RST_EWQ2BIG",
	22: "MPTCP_RST_EBADPERF",
	23: "MPTCP_RST_EMIDDLEBOX",
	24: "ERROR",
}

// ResetReason returns the kernel's name of the reason for which it sent a
// RST. It is "" for 0, where the kernel gives none, and for numbers that are
// not in the table.
func ResetReason(n uint16) string {
	if n == 0 || int(n) >= len(resetReasons) {
		return ""
	}
	return resetReasons[n]
}
