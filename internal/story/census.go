package story

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Namespaces of Census.
const (
	HostNetNS      = 4026531840
	ContainerNetNS = 4026532177
)

// Container is the id of the one in Census.
const Container = "3f2a9c01b7de5566778899aabbccddeeff00112233445566778899aabbccddee"

var labels = map[uint32]*event.Label{
	812: {Unit: "nginx.service", Cgroup: "/system.slice/nginx.service",
		Exe: "/usr/sbin/nginx", Cmdline: "nginx: master process /usr/sbin/nginx -g daemon on; master_process on;"},
	4194304: {Container: Container, Runtime: "docker", Cgroup: "/system.slice/docker-" + Container + ".scope",
		Exe: "/usr/bin/java", Cmdline: "java -Dpassword=hunter2 -jar app.jar"},
	66: {Cgroup: "/user.slice", Cmdline: "\x1b[31m\u202eevil\n\xff"},
}

// Label says more of the processes of Census.
func Label(t *event.Task, _ event.Time) *event.Label { return labels[t.PID] }

// Unselected is a host at 60 s, as it is read: a web server with a connection in
// each of its states, a client in a container, a name that is an attack, and
// what belongs to no process.
func Unselected() *census.Census {
	now := event.Time(60 * s)
	c := &census.Census{Time: now, Namespaces: map[uint32]string{HostNetNS: "host"}}
	add := func(state tcp.State, local, remote string, by event.Task, fd uint32, change func(*census.Socket)) {
		socket := census.Socket{
			Time: now, ID: event.ID{NetNS: HostNetNS, Cookie: uint64(0x100 + len(c.Sockets))},
			Local: netip.MustParseAddrPort(local), State: state, Object: census.Full, Owner: by, FD: fd,
			Inode: 1000, UID: 33,
		}
		if remote != "" {
			socket.Remote = netip.MustParseAddrPort(remote)
		}
		if by.Known() {
			socket.Via = conn.ViaSnapshot
		} else {
			socket.Inode = 0
		}
		if change != nil {
			change(&socket)
		}
		c.Sockets = append(c.Sockets, socket)
	}
	nginx, java, evil := Task(812, "nginx"), Task(4194304, "java"), Task(66, "\x1b[31mx")
	nobody := event.Task{}
	small := func(object census.Object, timer string, left time.Duration) func(*census.Socket) {
		return func(s *census.Socket) { s.Object, s.Timer, s.TimeLeft = object, timer, left }
	}
	add(tcp.TimeWait, "10.0.0.1:443", "10.9.8.7:50000", nobody, 0, small(census.TimeWait, "timewait", 58100*ms))
	add(tcp.FinWait2, "10.0.0.1:443", "10.9.8.7:50001", nobody, 0, func(s *census.Socket) {
		small(census.TimeWait, "timewait", 31*time.Second)(s)
		s.Orphan = true
	})
	add(tcp.SynRecv, "10.0.0.1:443", "10.9.8.7:50002", nobody, 0, small(census.Request, "retransmit", 990*ms))
	add(tcp.Established, "10.0.0.1:443", "10.9.8.7:50003", nobody, 0, func(s *census.Socket) { s.Unaccepted = true })
	add(tcp.Established, "10.0.0.1:443", "10.9.8.7:50004", nginx, 12, func(s *census.Socket) {
		s.RecvQ, s.SendQ, s.Timer, s.TimeLeft, s.Timeouts = 17, 65536, "retransmit", 1600*ms, 3
	})
	add(tcp.CloseWait, "10.0.0.1:443", "10.9.8.7:50005", nginx, 13, func(s *census.Socket) { s.RecvQ = 1 })
	add(tcp.Listen, "0.0.0.0:443", "", nginx, 6, func(s *census.Socket) {
		s.RecvQ, s.SendQ, s.Drops = 1, 511, 4
		for pid := range uint32(3) {
			s.Holders = append(s.Holders, census.Holder{PID: 812 + pid, FD: 6, Comm: nginx.Comm})
		}
	})
	add(tcp.Established, "172.17.0.2:40000", "100.100.100.100:5432", java, 101, func(s *census.Socket) {
		s.ID.NetNS, s.KeepAlive, s.Timer, s.TimeLeft = ContainerNetNS, true, "keepalive", 7199*time.Second
	})
	add(tcp.SynSent, "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:40001", "[2001:db8::1]:443", evil, 3, nil)
	add(tcp.FinWait1, "10.0.0.1:40002", "10.9.8.7:80", nobody, 0, func(s *census.Socket) {
		s.Orphan, s.SendQ, s.Timer, s.TimeLeft = true, 1, "probe", 204*ms
	})
	return c
}

// Census is Unselected with roles, and labels.
func Census() *census.Census {
	c := Unselected()
	c.Infer()
	c.Select(&filter.Filter{}, Label)
	return c
}
