package diagnose

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// Settings are the sysctls in force. A nil Settings knows none.
type Settings interface {
	// Sysctl returns the value of a sysctl, such as
	// "net.ipv4.tcp_fin_timeout", in a network namespace; "" where it is not
	// known.
	Sysctl(netns uint32, name string) string

	// Forget says that what is known of a namespace may be out of date: it is
	// to be read again.
	Forget(netns uint32)
}

// Devices are Settings that know which device has an address, too.
type Devices interface {
	// Device returns the name of the device of a network namespace that has a
	// local address; "" where that is not known.
	Device(netns uint32, local netip.Addr) string
}

// device says by which device packets from local leave, as far as known.
func (e *Engine) device(netns uint32, local netip.Addr) string {
	if d, ok := e.options.Settings.(Devices); ok {
		return d.Device(netns, local)
	}
	return ""
}

// Names of the sysctls that rules ask for. Where a rule speaks of one, it
// leaves out what stands before the last point.
const (
	sysctlPortRange     = "net.ipv4.ip_local_port_range"
	sysctlMaxTimeWait   = "net.ipv4.tcp_max_tw_buckets"
	sysctlReuse         = "net.ipv4.tcp_tw_reuse"
	sysctlFinTimeout    = "net.ipv4.tcp_fin_timeout"
	sysctlOrphanRetries = "net.ipv4.tcp_orphan_retries"
	sysctlRetries2      = "net.ipv4.tcp_retries2"
	sysctlSynRetries    = "net.ipv4.tcp_syn_retries"
	sysctlSynAckRetries = "net.ipv4.tcp_synack_retries"
	sysctlSynCookies    = "net.ipv4.tcp_syncookies"
	sysctlSynBacklog    = "net.ipv4.tcp_max_syn_backlog"
	sysctlAbort         = "net.ipv4.tcp_abort_on_overflow"
	sysctlSomaxconn     = "net.core.somaxconn"
	sysctlKeepaliveTime = "net.ipv4.tcp_keepalive_time"
	sysctlMaxOrphans    = "net.ipv4.tcp_max_orphans"
	sysctlMem           = "net.ipv4.tcp_mem"
)

// Sysctls lists the names that rules may ask for.
func Sysctls() []string {
	return []string{
		sysctlPortRange, sysctlMaxTimeWait, sysctlReuse, sysctlFinTimeout, sysctlOrphanRetries, sysctlRetries2,
		sysctlSynRetries, sysctlSynAckRetries, sysctlSynCookies, sysctlSynBacklog, sysctlAbort, sysctlSomaxconn,
		sysctlKeepaliveTime, sysctlMaxOrphans, sysctlMem,
	}
}

func (e *Engine) sysctl(netns uint32, name string) string {
	if e.options.Settings == nil || netns == 0 {
		return ""
	}
	return e.options.Settings.Sysctl(netns, name)
}

// number returns a sysctl's value, or otherwise where it is not known.
func (e *Engine) number(netns uint32, name string, otherwise int) int {
	if n, err := strconv.Atoi(e.sysctl(netns, name)); err == nil {
		return n
	}
	return otherwise
}

// quote adds sysctls to the evidence, as far as they are known.
func (e *Engine) quote(f *Finding, netns uint32, names ...string) {
	for _, name := range names {
		value := strings.Join(strings.Fields(e.sysctl(netns, name)), "-")
		short := shortName(name)
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			(*figures)(&f.Evidence).count(short, n)
		} else {
			(*figures)(&f.Evidence).word(short, value)
		}
	}
}

func shortName(sysctl string) string { return sysctl[strings.LastIndexByte(sysctl, '.')+1:] }

// A portRange is what connect() takes local ports from.
type portRange struct {
	netns     uint32
	low, high int
	known     bool       // else it is the kernel's default
	at        event.Time // when it was read; 0: never
}

// fresh reports whether it was read a second ago or later.
func (r *portRange) fresh(now event.Time) bool { return r.at != 0 && now.Sub(r.at) < time.Second }

func (r portRange) size() int            { return r.high - r.low + 1 }
func (r portRange) has(port uint16) bool { return r.low <= int(port) && int(port) <= r.high }

// ports returns the range of a namespace, as it was a second ago or later.
func (e *Engine) ports(netns uint32) portRange {
	if e.ranged.netns == netns && e.ranged.fresh(e.now) {
		return e.ranged
	}
	r, ok := e.ranges[netns]
	if !ok || !r.fresh(e.now) {
		if !ok && len(e.ranges) >= maxProcesses {
			clear(e.ranges)
		}
		r = parseRange(e.sysctl(netns, sysctlPortRange))
		r.netns, r.at = netns, e.now
		e.ranges[netns] = r
	}
	e.ranged = r
	return r
}

func parseRange(value string) portRange {
	parts := strings.Fields(value)
	if len(parts) == 2 {
		low, errLow := strconv.Atoi(parts[0])
		high, errHigh := strconv.Atoi(parts[1])
		if errLow == nil && errHigh == nil && low > 0 && low <= high {
			return portRange{low: low, high: high, known: true}
		}
	}
	return portRange{low: 32768, high: 60999}
}

// forget has the sysctls of a namespace read again.
func (e *Engine) forget(netns uint32) {
	delete(e.ranges, netns)
	e.ranged = portRange{}
	if e.options.Settings != nil && netns != 0 {
		e.options.Settings.Forget(netns)
	}
}
