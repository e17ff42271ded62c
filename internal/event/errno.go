package event

import "strconv"

// An Errno is an error number of Linux, on whatever system this runs: a
// recording is read on others, whose own numbers differ. The numbers are those
// of include/uapi/asm-generic/errno*.h, the same on amd64 and arm64.
type Errno uint16

// The numbers that tell how a connection ended.
const (
	ENFILE        Errno = 23
	EMFILE        Errno = 24
	EPIPE         Errno = 32
	ENONET        Errno = 64
	ENOPROTOOPT   Errno = 92
	EADDRNOTAVAIL Errno = 99
	ENETDOWN      Errno = 100
	ENETUNREACH   Errno = 101
	ECONNABORTED  Errno = 103
	ECONNRESET    Errno = 104
	ETIMEDOUT     Errno = 110
	ECONNREFUSED  Errno = 111
	EHOSTDOWN     Errno = 112
	EHOSTUNREACH  Errno = 113
)

// errnos are those that TCP puts into sk_err and returns from its system calls.
var errnos = [...]string{
	1: "EPERM", 4: "EINTR", 5: "EIO", 9: "EBADF", 11: "EAGAIN", 12: "ENOMEM",
	13: "EACCES", 14: "EFAULT", 16: "EBUSY", 19: "ENODEV", 22: "EINVAL",
	23: "ENFILE", 24: "EMFILE", EPIPE: "EPIPE", ENONET: "ENONET", 71: "EPROTO",
	74: "EBADMSG", 88: "ENOTSOCK", 90: "EMSGSIZE", ENOPROTOOPT: "ENOPROTOOPT",
	93: "EPROTONOSUPPORT", 95: "EOPNOTSUPP", 97: "EAFNOSUPPORT",
	98: "EADDRINUSE", 99: "EADDRNOTAVAIL", ENETDOWN: "ENETDOWN",
	ENETUNREACH: "ENETUNREACH", 102: "ENETRESET", ECONNABORTED: "ECONNABORTED",
	ECONNRESET: "ECONNRESET", 105: "ENOBUFS", 106: "EISCONN", 107: "ENOTCONN",
	108: "ESHUTDOWN", ETIMEDOUT: "ETIMEDOUT", ECONNREFUSED: "ECONNREFUSED",
	EHOSTDOWN: "EHOSTDOWN", EHOSTUNREACH: "EHOSTUNREACH", 114: "EALREADY",
	115: "EINPROGRESS", 125: "ECANCELED",
}

// String returns the number's name, "errno_N" where it has none here, and ""
// for 0, which is no error.
func (e Errno) String() string {
	if e == 0 {
		return ""
	}
	if int(e) < len(errnos) && errnos[e] != "" {
		return errnos[e]
	}
	return "errno_" + strconv.Itoa(int(e))
}
