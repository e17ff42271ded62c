package render

import (
	"io"
	"strconv"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	tableWidth     = 120
	containerWidth = 12 // as docker ps shows ids
	netnsWidth     = 12
	leastProcess   = 10 // so far the process gives way where a table is too wide
	leastCommand   = 20
)

// A socketTable says which columns a table of sockets has.
type socketTable struct {
	*table
	census    *census.Census
	sockets   []*census.Socket
	process   int    // width
	pid       uint32 // of the process whose cell is kept in name
	name      []byte
	nameExtra int // bytes in name that take no column
	netns     bool
	container bool
	command   int // width; 0 for none
}

// WriteSockets writes a table of the sockets of c. It fits 120 columns, or width
// if that is more, but for lines with long IPv6 addresses, which are never cut.
// With command there is a column of command lines in what is left of the width.
func (o *Options) WriteSockets(w io.Writer, c *census.Census, command bool, width int) error {
	width = max(width, tableWidth)
	s := socketTable{census: c, sockets: c.Sorted(), process: processWidth}
	s.look()
	s.fill(o.Color)
	if over := s.fit(width); over > 0 {
		s.process = max(s.columns[1].width-over, leastProcess)
		s.fill(o.Color)
		s.fit(width)
	}
	if command {
		s.command = max(width-s.total()-1, leastCommand)
		s.fill(o.Color)
		s.fit(width)
	}
	return s.writeTo(w)
}

// fit narrows the columns of addresses until the table has this width, but no
// further than IPv4 needs: an address that is longer then moves what follows
// it. It returns by how much the table is still too wide.
func (s *socketTable) fit(width int) int {
	over := s.total() - width
	for i := range s.columns {
		c := &s.columns[i]
		if over > 0 && (c.name == "LOCAL" || c.name == "REMOTE") {
			less := min(over, c.width-c.ipv4)
			c.width -= less
			over -= less
		}
	}
	return over
}

// look sees which columns are worth their place.
func (s *socketTable) look() {
	for _, socket := range s.sockets {
		s.netns = s.netns || socket.ID.NetNS != s.sockets[0].ID.NetNS
		s.container = s.container || socket.Owner.Label != nil && socket.Owner.Label.Container != ""
	}
}

func (s *socketTable) fill(color bool) {
	columns := []column{
		{name: "STATE"}, {name: "PROCESS"}, {name: "FD", right: true},
		{name: "RECV", right: true}, {name: "SEND", right: true}, {name: "TIMER"},
	}
	if s.netns {
		columns = append(columns, column{name: "NETNS"})
	}
	if s.container {
		columns = append(columns, column{name: "CONTAINER"})
	}
	columns = append(columns, column{name: "LOCAL"}, column{}, column{name: "REMOTE"})
	if s.command > 0 {
		columns = append(columns, column{name: "COMMAND"})
	}
	s.pid = 0
	s.table = newTable(color, len(s.sockets), columns...)
	for _, socket := range s.sockets {
		s.add(socket)
	}
}

func (s *socketTable) add(socket *census.Socket) {
	s.state(socket.State)
	s.next()
	s.holder(socket)
	s.next()
	s.fd(socket)
	s.next()
	s.queue(socket, socket.RecvQ)
	s.next()
	s.queue(socket, socket.SendQ)
	s.next()
	s.timer(socket)
	s.next()
	if s.netns {
		s.namespace(socket.ID.NetNS)
		s.next()
	}
	if s.container {
		s.label(socket.Owner.Label)
		s.next()
	}
	s.endpoint(socket.Local)
	s.next()
	s.direction(socket)
	s.next()
	if socket.State == tcp.Listen {
		s.text("*")
	} else {
		s.endpoint(socket.Remote)
	}
	s.next()
	if s.command > 0 {
		s.commandLine(socket.Owner.Label)
		s.next()
	}
}

// holder writes the process as line.holder does. Most sockets have the holder
// of the one before.
func (s *socketTable) holder(socket *census.Socket) {
	if pid := socket.Owner.PID; pid == 0 || socket.Others() > 0 {
		s.line.holder(socket, s.process)
		return
	} else if pid != s.pid {
		begin := len(s.b)
		s.line.holder(socket, s.process)
		s.pid, s.name, s.nameExtra = pid, append(s.name[:0], s.b[begin:]...), s.line.extra
		return
	}
	s.b = append(s.b, s.name...)
	s.line.extra = s.nameExtra
}

// holder writes the process that holds a socket, "+N" if N more descriptors
// lead to it, or why there is none.
func (l *line) holder(s *census.Socket, width int) {
	switch {
	case s.Owner.Known():
		var buf [12]byte
		more := buf[:0]
		if n := s.Others(); n > 0 {
			more = strconv.AppendInt(append(more, " +"...), int64(n), 10)
		}
		l.process(&s.Owner, width-len(more))
		l.b = append(l.b, more...)
	case s.Orphan:
		l.text("(orphan)")
	case s.Unaccepted:
		l.text("(unaccepted)")
	default:
		l.text("-")
	}
}

func (l *line) fd(s *census.Socket) {
	if s.Via != conn.ViaSnapshot {
		l.text("-")
		return
	}
	l.b = strconv.AppendUint(l.b, uint64(s.FD), 10)
}

// queue writes a length, which only full sockets have.
func (l *line) queue(s *census.Socket, n uint32) {
	if s.Object != census.Full {
		l.text("-")
		return
	}
	l.b = strconv.AppendUint(l.b, uint64(n), 10)
}

var timers = map[string]string{"retransmit": "rtx ", "keepalive": "keep ", "timewait": "tw ", "probe": "probe "}

// timer writes what a socket waits for and how long yet, and behind it how
// often that ran out already.
func (l *line) timer(s *census.Socket) {
	if s.Timer == "" {
		l.text("-")
		return
	}
	l.text(timers[s.Timer])
	l.b = AppendDuration(l.b, s.TimeLeft)
	if s.Timeouts > 0 {
		l.text(" x")
		l.b = strconv.AppendUint(l.b, uint64(s.Timeouts), 10)
	}
}

// safe writes what somebody chose, in at most width columns.
func (l *line) safe(s string, width int) {
	start := len(l.b)
	var shown int
	l.b, shown = appendSafe(l.b, []byte(s), width)
	l.extra += len(l.b) - start - shown
}

func (s *socketTable) namespace(inode uint32) {
	if name := s.census.Namespaces[inode]; name != "" {
		s.safe(name, netnsWidth)
		return
	}
	s.b = strconv.AppendUint(s.b, uint64(inode), 10)
}

// label writes the id of the container.
func (l *line) label(label *event.Label) {
	if label == nil || label.Container == "" {
		l.text("-")
		return
	}
	l.safe(label.Container[:min(len(label.Container), containerWidth)], containerWidth)
}

func (l *line) direction(s *census.Socket) {
	switch s.Role {
	case conn.Client:
		l.text("->")
	case conn.Server:
		l.text("<-")
	}
}

func (s *socketTable) commandLine(label *event.Label) {
	if label == nil || label.Cmdline == "" {
		s.text("-")
		return
	}
	s.safe(label.Cmdline, s.command)
}
