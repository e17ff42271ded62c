// Package names gives the numbers that events carry the names that the Linux
// kernel gives them. The numbers are Linux's on whatever system this runs: a
// recording is read on others, whose own tables differ.
package names

import (
	"strconv"
	"syscall"
)

// errnos are those that TCP puts into sk_err and returns from its system
// calls (include/uapi/asm-generic/errno*.h; the same on amd64 and arm64).
var errnos = [...]string{
	1: "EPERM", 4: "EINTR", 5: "EIO", 9: "EBADF", 11: "EAGAIN", 12: "ENOMEM",
	13: "EACCES", 14: "EFAULT", 16: "EBUSY", 19: "ENODEV", 22: "EINVAL",
	23: "ENFILE", 24: "EMFILE", 32: "EPIPE", 71: "EPROTO", 74: "EBADMSG",
	88: "ENOTSOCK", 90: "EMSGSIZE", 92: "ENOPROTOOPT", 93: "EPROTONOSUPPORT",
	95: "EOPNOTSUPP", 97: "EAFNOSUPPORT", 98: "EADDRINUSE", 99: "EADDRNOTAVAIL",
	100: "ENETDOWN", 101: "ENETUNREACH", 102: "ENETRESET", 103: "ECONNABORTED",
	104: "ECONNRESET", 105: "ENOBUFS", 106: "EISCONN", 107: "ENOTCONN",
	108: "ESHUTDOWN", 110: "ETIMEDOUT", 111: "ECONNREFUSED", 112: "EHOSTDOWN",
	113: "EHOSTUNREACH", 114: "EALREADY", 115: "EINPROGRESS", 125: "ECANCELED",
}

// Errno returns the name of a Linux error number, "errno_N" where it has none
// here, and "" for 0.
func Errno(e syscall.Errno) string {
	if e == 0 {
		return ""
	}
	if int(e) < len(errnos) && errnos[e] != "" {
		return errnos[e]
	}
	return "errno_" + strconv.Itoa(int(e))
}

// caStates is enum tcp_ca_state (include/uapi/linux/tcp.h).
var caStates = [...]string{"Open", "Disorder", "CWR", "Recovery", "Loss"}

// CAState returns the name of a congestion avoidance state, or "".
func CAState(s uint8) string {
	if int(s) < len(caStates) {
		return caStates[s]
	}
	return ""
}
