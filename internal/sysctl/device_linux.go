package sysctl

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"unsafe"
)

// devices returns the names of the devices of the calling thread's namespace, by
// their addresses (rtnetlink(7), RTM_GETADDR).
func devices() (map[netip.Addr]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the devices: %w", err)
	}
	names := make(map[int]string, len(all))
	for i := range all {
		names[all[i].Index] = all[i].Name
	}
	table, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list the devices' addresses: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return nil, fmt.Errorf("read the devices' addresses: %w", err)
	}
	of := map[netip.Addr]string{}
	for i := range messages {
		m := &messages[i]
		if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < syscall.SizeofIfAddrmsg {
			continue
		}
		index := (*syscall.IfAddrmsg)(unsafe.Pointer(&m.Data[0])).Index
		if addr, ok := localOf(m); ok {
			of[addr] = names[int(index)]
		}
	}
	return of, nil
}

// localOf returns the device's own address: IFA_LOCAL, or where there is none
// IFA_ADDRESS, which of a point-to-point device is the other end's.
func localOf(m *syscall.NetlinkMessage) (local netip.Addr, ok bool) {
	attrs, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return local, false
	}
	for _, a := range attrs {
		if a.Attr.Type != syscall.IFA_LOCAL && (a.Attr.Type != syscall.IFA_ADDRESS || ok) {
			continue
		}
		if addr, valid := netip.AddrFromSlice(a.Value); valid {
			local, ok = addr, true
		}
	}
	return local, ok
}
