package export

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// An Origin says where a row comes from.
type Origin struct {
	Host  string // "" where not known
	Clock event.Clock
}

// A subject has the columns that speak of one connection, and of whose it is.
// They are the first of either table.
type subject struct {
	Host  string  `parquet:"host,optional,dict"`
	Conn  string  `parquet:"conn,optional"`
	NetNS *uint32 `parquet:"netns,optional,dict"`

	Family        string  `parquet:"family,optional,dict"`
	LocalAddress  string  `parquet:"local_address,optional,dict"`
	LocalPort     *uint16 `parquet:"local_port,optional,uint(16)"`
	RemoteAddress string  `parquet:"remote_address,optional,dict"`
	RemotePort    *uint16 `parquet:"remote_port,optional,uint(16)"`

	Role      string  `parquet:"role,optional,dict"`
	PID       *uint32 `parquet:"pid,optional,dict"`
	Comm      string  `parquet:"comm,optional,dict"`
	UID       *uint32 `parquet:"uid,optional,dict"`
	Via       string  `parquet:"via,optional,dict"`
	Container string  `parquet:"container,optional,dict"`
	Unit      string  `parquet:"unit,optional,dict"`
	PodUID    string  `parquet:"pod_uid,optional,dict"`
	Cgroup    string  `parquet:"cgroup,optional,dict"`
}

// A row is made in one place again and again: what its pointers point to, too.
type values struct {
	ints [96]int64
	n    int
	u32  [16]uint32
	n32  int
	u16  [4]uint16
	n16  int
}

func (v *values) reset() { v.n, v.n32, v.n16 = 0, 0, 0 }

// int is a figure that is known.
func (v *values) int(n int64) *int64 {
	v.n++
	v.ints[v.n-1] = n
	return &v.ints[v.n-1]
}

func (v *values) length(d time.Duration) *int64 { return v.int(int64(d)) }

// some is a figure whose zero means that it is not known.
func (v *values) some(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return v.int(n)
}

func (v *values) uint32(n uint32) *uint32 {
	v.n32++
	v.u32[v.n32-1] = n
	return &v.u32[v.n32-1]
}

func (v *values) some32(n uint32) *uint32 {
	if n == 0 {
		return nil
	}
	return v.uint32(n)
}

func (v *values) isn(n event.ISN) *uint32 {
	if !n.Known {
		return nil
	}
	return v.uint32(n.Seq)
}

func (v *values) port(n uint16) *uint16 {
	if n == 0 {
		return nil
	}
	v.n16++
	v.u16[v.n16-1] = n
	return &v.u16[v.n16-1]
}

// set fills in what c speaks of.
func (s *subject) set(v *values, c *conn.Change, from Origin) {
	*s = subject{Host: from.Host}
	if c.Conn != nil {
		s.endpoints(v, c.Conn.ID, c.Conn.Local, c.Conn.Remote)
		s.Role = c.Conn.Role.String()
		s.process(v, &c.Conn.Owner)
		return
	}
	if c.Event != nil {
		s.endpoints(v, c.Event.ID, c.Event.Local, c.Event.Remote)
		if c.Kind == conn.Failed {
			s.process(v, &conn.Owner{Task: c.Event.Task})
		}
	}
}

func (s *subject) endpoints(v *values, id event.ID, local, remote netip.AddrPort) {
	if id.Cookie != 0 {
		s.Conn = strconv.FormatUint(id.Cookie, 16)
	}
	s.NetNS = v.some32(id.NetNS)
	addr := local.Addr()
	if !addr.IsValid() {
		addr = remote.Addr()
	}
	switch addr = addr.Unmap(); {
	case addr.Is4():
		s.Family = "ipv4"
	case addr.Is6():
		s.Family = "ipv6"
	}
	s.LocalAddress, s.LocalPort = address(local), v.port(local.Port())
	s.RemoteAddress, s.RemotePort = address(remote), v.port(remote.Port())
}

func address(e netip.AddrPort) string {
	if !e.IsValid() {
		return ""
	}
	return e.Addr().Unmap().String()
}

func (s *subject) process(v *values, o *conn.Owner) {
	if !o.Known() {
		return
	}
	s.PID, s.UID, s.Comm, s.Via = v.uint32(o.Task.PID), v.uint32(o.Task.UID), commOf(&o.Task), o.Via.String()
	if l := o.Task.Label; l != nil {
		s.Container, s.Unit, s.PodUID, s.Cgroup = text(l.Container), text(l.Unit), text(l.PodUID), text(l.Cgroup)
	}
}

func wall(clock event.Clock, t event.Time) int64 { return clock.Wall(t).UnixNano() }
