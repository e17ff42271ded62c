package diagnose

import (
	"strconv"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// maxProcesses bounds the processes, and the listeners, that are remembered.
const maxProcesses = 16384

// A process is one that a connection belongs to, and what it did.
type process struct {
	owner   conn.Owner
	reborn  uint32     // how many had its number before
	used    event.Time // when it was last asked for
	ended   uint64     // connections of its that ended
	leaks   bool       // it holds sockets in CLOSE_WAIT
	attempt attempt    // its calls of connect()
}

// forgotten is how long a process must not be heard of until another may have
// its number, or its place be taken by another.
const forgotten = time.Minute

// known returns the process with the evidence, or the unknown one.
func (p *process) known() conn.Owner {
	if p == nil {
		return conn.Owner{}
	}
	return p.owner
}

func (p *process) pid() uint32 {
	if p == nil {
		return 0
	}
	return p.owner.Task.PID
}

// process returns the process of an owner, or nil where that is not known. A
// process keeps the name that it was first seen with: the kernel gives that of
// the thread that acts. Another name in another cgroup, after a minute of
// silence, is another process.
func (e *Engine) process(o *conn.Owner) *process {
	if !o.Known() {
		return nil
	}
	met := &e.met[o.Task.PID%uint32(len(e.met))]
	p := *met
	if p == nil || p.owner.Task.PID != o.Task.PID {
		p = e.processes[o.Task.PID]
	}
	switch {
	case p == nil:
		p = &process{owner: *o}
		e.remember(p)
	case e.now.Sub(p.used) > forgotten && p.owner.Task.Comm != o.Task.Comm && p.owner.Task.Cgroup != o.Task.Cgroup:
		p = &process{owner: *o, reborn: p.reborn + 1}
		e.processes[o.Task.PID] = p
	}
	*met = p
	p.used = e.now
	return p
}

// remember keeps p, and makes room for it by forgetting those that were not
// heard of for long.
func (e *Engine) remember(p *process) {
	if len(e.processes) >= maxProcesses && e.now.Sub(e.tidied) > time.Second {
		e.tidied = e.now
		for pid, old := range e.processes {
			if e.now.Sub(old.used) > forgotten {
				delete(e.processes, pid)
			}
		}
		clear(e.met[:])
	}
	if len(e.processes) < maxProcesses {
		e.processes[p.pid()] = p
	}
}

func (e *Engine) task(t *event.Task) *process { return e.process(&conn.Owner{Task: *t}) }

type listenPort struct {
	netns uint32
	port  uint16
}

// ambiguous stands for several processes that listen on one port.
var ambiguous = &process{}

// listen remembers who listens where. Of what is not listened on any more the
// last to do so stands: connections outlive their listener.
func (e *Engine) listen(c *conn.Change) {
	if c.Conn.State != tcp.Listen || !c.Conn.Owner.Known() || c.Conn.Local.Port() == 0 {
		return
	}
	at, p := listenPort{c.Conn.ID.NetNS, c.Conn.Local.Port()}, e.process(&c.Conn.Owner)
	switch old := e.listeners[at]; {
	case old == nil && len(e.listeners) < maxProcesses:
		e.listeners[at] = p
	case old != nil && old.pid() != p.pid() && c.Kind != conn.Transition:
		e.listeners[at] = ambiguous
	case old != nil:
		e.listeners[at] = p
	}
}

// listener returns the process that listens on the port, if it is just one.
func (e *Engine) listener(netns uint32, port uint16) *process {
	p := e.listeners[listenPort{netns, port}]
	if p == ambiguous {
		return nil
	}
	return p
}

// ownerOf returns whose connection c is: its own process, or for a server's
// that nobody has accepted yet, as far as is known, its listener's.
func (e *Engine) ownerOf(c *conn.Connection) *process {
	if p := e.process(&c.Owner); p != nil || c.Role != conn.Server {
		return p
	}
	return e.listener(c.ID.NetNS, c.Local.Port())
}

// fillPID puts the process's number where a command names PID. Where no process
// is known it takes the option away.
func fillPID(text string, o *conn.Owner) string {
	pid := "<pid>"
	if o.Known() {
		pid = strconv.FormatUint(uint64(o.Task.PID), 10)
	} else {
		text = strings.ReplaceAll(text, " --pid PID", "")
	}
	return strings.NewReplacer("--pid PID", "--pid "+pid, "-p PID", "-p "+pid, "/proc/PID", "/proc/"+pid).Replace(text)
}
