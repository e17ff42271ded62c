package filter

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tcptrace/tcptrace/internal/suggest"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// The functions below read one element of a flag's list. Their errors say
// what to write instead.

// ParsePID reads a process id.
func ParsePID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 22) // PID_MAX_LIMIT is 1 << 22
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a process id; write numbers, comma-separated (by name: --comm)", s)
	}
	return uint32(n), nil
}

// commLen is how much of a process's name the kernel keeps: TASK_COMM_LEN
// less the final NUL.
const commLen = 15

// ParseComm reads a process's name, and cuts it as the kernel does.
func ParseComm(s string) (string, error) {
	if s == "" {
		return "", errors.New("a name is empty; write process names, comma-separated")
	}
	return s[:min(len(s), commLen)], nil
}

// ParseContainer reads the begin of a container's id.
func ParseContainer(s string) (string, error) {
	if s == "" {
		return "", errors.New("an id is empty; write container ids, or how they begin, comma-separated")
	}
	return s, nil
}

// ParseCgroup reads the path of a cgroup, from the root of its hierarchy, or
// the end of one: "nginx.service".
func ParseCgroup(s string) (string, error) {
	if s == "" {
		return "", errors.New("a path is empty; write paths as /proc/PID/cgroup has them, such as /system.slice/nginx.service, or nginx.service")
	}
	path := strings.TrimRight(strings.TrimPrefix(s, "/sys/fs/cgroup"), "/")
	return cmp.Or(path, "/"), nil
}

// ParseNetNS reads the inode of a network namespace: a number, or
// "net:[number]" as readlink /proc/PID/ns/net prints it.
func ParseNetNS(s string) (uint32, error) {
	number := s
	if inner, ok := strings.CutPrefix(s, "net:["); ok {
		number = strings.TrimSuffix(inner, "]")
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not the inode of a network namespace; write the number that \"readlink /proc/PID/ns/net\" prints", s)
	}
	return uint32(n), nil
}

// ParsePort reads a port number.
func ParsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port number; write 1 to 65535, comma-separated", s)
	}
	return uint16(n), nil
}

// ParseNet reads a network in CIDR notation, or an address, which is a network of one.
func ParseNet(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.WithZone("").Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	net, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network; write an address or CIDR such as 10.0.0.0/8 or 2001:db8::/32", s)
	}
	if net.Addr().Is4In6() && net.Bits() >= 96 {
		net = netip.PrefixFrom(net.Addr().Unmap(), net.Bits()-96)
	}
	return net.Masked(), nil
}

// ParseState reads the name of a state.
func ParseState(s string) (tcp.State, error) {
	state, err := tcp.ParseState(s)
	if err == nil {
		return state, nil
	}
	var names []string
	for _, known := range tcp.States() {
		names = append(names, known.String())
	}
	if meant := suggest.Closest(s, names); meant != "" {
		return 0, fmt.Errorf("%q is not a TCP state; did you mean %s?", s, meant)
	}
	return 0, fmt.Errorf("%q is not a TCP state; write one of %s", s, strings.Join(names, " "))
}

// ParseKind reads a kind of record.
func ParseKind(s string) (Kind, error) {
	var names []string
	for _, k := range Kinds() {
		if string(k) == s {
			return k, nil
		}
		names = append(names, string(k))
	}
	if meant := suggest.Closest(s, names); meant != "" {
		return "", fmt.Errorf("%q is not a kind of record; did you mean %s?", s, meant)
	}
	return "", fmt.Errorf("%q is not a kind of record; write one of %s", s, strings.Join(names, " "))
}
