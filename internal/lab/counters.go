//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A census counts a namespace's TCP sockets by state, listeners left out.
// Timewait sockets count under their substate, request sockets under SYN_RECV.
type census [tcp.NumStates]int

func (c census) String() string {
	var parts []string
	for _, s := range tcp.States() {
		if c[s] != 0 {
			parts = append(parts, fmt.Sprintf("%d %v", c[s], s))
		}
	}
	if parts == nil {
		return "no socket"
	}
	return strings.Join(parts, ", ")
}

// census reads /proc/net/tcp and tcp6 of the namespace.
func (ns *namespace) census() (c census, err error) {
	err = ns.do(func() error {
		for _, name := range []string{"tcp", "tcp6"} {
			err := c.read("/proc/thread-self/net/" + name)
			if err != nil && (name == "tcp" || !os.IsNotExist(err)) { // a kernel without IPv6
				return err
			}
		}
		return nil
	})
	c[tcp.Listen] = 0
	return c, err
}

// read counts the sockets of one file, which may be of a million lines.
func (c *census) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		f := bytes.Fields(lines.Bytes())
		if len(f) < 4 || string(f[0]) == "sl" {
			continue
		}
		s, err := strconv.ParseUint(string(f[3]), 16, 8)
		if err != nil || !tcp.State(s).Valid() {
			return fmt.Errorf("read %s: no state in %q", name, lines.Bytes())
		}
		c[s]++
	}
	return lines.Err()
}

func (ns *namespace) procNet(name string) (b []byte, err error) {
	err = ns.do(func() error {
		b, err = os.ReadFile("/proc/thread-self/net/" + name)
		return err
	})
	return b, err
}

// listenerCookie asks inet_diag for the cookie of the one socket that listens on
// port.
func (ns *namespace) listenerCookie(port uint16) (cookie Cookie, err error) {
	err = ns.do(func() error {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			sockets, err := netlink.SocketDiagTCP(family)
			if err != nil {
				return fmt.Errorf("list the listeners: %w", err)
			}
			for _, s := range sockets {
				if tcp.State(s.State) == tcp.Listen && s.ID.SourcePort == port {
					cookie = Cookie(uint64(s.ID.Cookie[1])<<32 | uint64(s.ID.Cookie[0]))
				}
			}
		}
		return nil
	})
	return cookie, err
}

// counters reads the kernel's own counts of the namespace: the "Tcp:" lines of
// /proc/net/snmp and the "TcpExt:" lines of /proc/net/netstat. Settings that
// stand among them (RtoMin and such) and zeroes are left out.
func (ns *namespace) counters() (map[string]uint64, error) {
	all := map[string]uint64{}
	for name, prefix := range map[string]string{"snmp": "Tcp:", "netstat": "TcpExt:"} {
		b, err := ns.procNet(name)
		if err != nil {
			return nil, err
		}
		var names []string
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) == 0 || f[0] != prefix {
				continue
			}
			if names == nil {
				names = f
				continue
			}
			for i := 1; i < len(f) && i < len(names); i++ {
				if v, err := strconv.ParseUint(f[i], 10, 64); err == nil && v != 0 {
					all[names[i]] = v
				}
			}
		}
	}
	for _, setting := range []string{"RtoAlgorithm", "RtoMin", "RtoMax", "MaxConn"} {
		delete(all, setting)
	}
	return all, nil
}
