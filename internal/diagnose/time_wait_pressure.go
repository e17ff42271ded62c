package diagnose

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	timeWaitLeast   = 10   // of a client, however small the range
	timeWaitFew     = 10   // percent of the range: below, nothing is said
	timeWaitMuch    = 50   // percent: a warning
	timeWaitSoon    = 25   // percent: a warning if the range will not do
	timeWaitNearly  = 90   // percent: critical
	timeWaitServers = 4096 // of one listener: below, nothing is said
	timeWaitBuckets = 80   // percent of tcp_max_tw_buckets: a warning

	clientWord = "client"
	serverWord = "server"
)

var timeWaitPressure = Rule{
	Name:  "time-wait-pressure",
	Short: "TIME_WAIT piles up",
	Meaning: "Who closes first keeps the connection in TIME_WAIT for a minute. On a client each holds a local port, and towards one" +
		" address and port there are only as many as ip_local_port_range has. On a server it holds no port, only some 250 bytes and one of" +
		" tcp_max_tw_buckets.",
	When: "Client: 10% of ip_local_port_range are in TIME_WAIT towards one address and port. That is information until half of the range" +
		" is in use, or a quarter and connections are made faster than the range allows for (their rate, times the measured length of" +
		" TIME_WAIT, is more than the range): then it is a warning, and critical from 90% on. Where tcp_tw_reuse lets connect() take these" +
		" ports again after a second (1; or 2, the default, for loopback), it stays information. Where connect() has failed for want" +
		" of a port, ephemeral-port-exhaustion says all of it. Server: 4,096 at one listener are" +
		" information; 80% of tcp_max_tw_buckets a warning.",
	Evidence: []Term{
		{"side", "client or server: which of the two closes first here"},
		{"time_wait", "connections in TIME_WAIT, now"},
		{"peak", "the most at one time"},
		{"ports_in_use", "local ports in use towards the address, in any state"},
		{"ports", "how many there are: the size of ip_local_port_range"},
		{"states", "the states that hold them"},
		{"per_second", "connections that enter TIME_WAIT, over the last seconds"},
		{"time_wait_length_ns", "how long TIME_WAIT lasts, measured if one has expired, else 60 s"},
		{"time_left_ns", "until the range is used up, if it goes on so and will be"},
		{"ip_local_port_range", "the sysctl"}, {"tcp_tw_reuse", "the sysctl"}, {"tcp_max_tw_buckets", "the sysctl"},
	},
	Advice: "Keep connections open and use them again (keep-alive, a pool). Else let the other side close first; give the client more" +
		" local addresses, or the server more ports; widen ip_local_port_range; or set net.ipv4.tcp_tw_reuse=1, which lets connect() take a port" +
		" from TIME_WAIT after a second (from Linux 6.14 on tcp_tw_reuse_delay) if both ends use timestamps.",
	Cost: "A wider range may take ports that services want to listen on (ip_local_reserved_ports keeps them free); tcp_tw_reuse relies on" +
		" the peer's timestamps, which some middleboxes remove.",
	More:   "tcptrace snapshot --pid PID --state TIME_WAIT",
	Limits: "Sockets older than the trace count where their local port looks like connect()'s choice. A process that calls bind() before connect(), without IP_BIND_ADDRESS_NO_PORT, runs out earlier: its ports are not shared by destinations.",
	begin: func(e *Engine, r *Rule) watcher {
		w := &timeWaitPressureWatcher{e: e, servers: map[key]*serverTimeWait{}}
		w.book = newBook(e, r, w.describe)
		return w
	},
}

type timeWaitPressureWatcher struct {
	e       *Engine
	book    book[timeWaitFigures]
	servers map[key]*serverTimeWait // by listening address
}

// timeWaitFigures are those of the tick that had most in TIME_WAIT.
type timeWaitFigures struct {
	server   bool
	at       netip.AddrPort
	peak     int
	now      int
	inUse    int
	size     int
	states   string
	rate     float64
	length   time.Duration
	left     time.Duration // 0: never
	reuse    bool
	severity Severity // the worst so far
	told     bool     // by ephemeral-port-exhaustion
}

// A serverTimeWait counts the connections of one listener in TIME_WAIT.
type serverTimeWait struct {
	now      int
	process  *process
	entering window
}

func (w *timeWaitPressureWatcher) wants() wants { return wants{states: statesOf(tcp.TimeWait)} }

func (w *timeWaitPressureWatcher) change(c *conn.Change) {
	switch c.Kind {
	case conn.Transition, conn.Found, conn.Corrected:
	default:
		return
	}
	if c.Conn.Role != conn.Server || c.New != tcp.TimeWait && c.Old != tcp.TimeWait {
		return
	}
	k := key{netns: c.Conn.ID.NetNS, at: c.Conn.Local}
	s := w.servers[k]
	if s == nil {
		if len(w.servers) >= maxProcesses {
			return
		}
		s = &serverTimeWait{}
		w.servers[k] = s
	}
	if c.New != tcp.TimeWait {
		s.now = max(0, s.now-1)
		return
	}
	s.now++
	s.entering.add(c.Time, 1)
	if p := w.e.ownerOf(c.Conn); p != nil {
		s.process = p
	}
}

func (w *timeWaitPressureWatcher) tick() {
	for _, d := range w.e.destinations.known {
		w.client(d)
	}
	for k, s := range w.servers {
		switch {
		case s.now >= timeWaitServers:
			w.server(k, s)
		case s.now == 0 && s.entering.sum(w.e.now) == 0:
			delete(w.servers, k)
		}
	}
}

func (w *timeWaitPressureWatcher) client(d *destination) {
	held := d.states[tcp.TimeWait]
	if held < timeWaitLeast && len(w.book.entries) == 0 {
		return
	}
	netns := d.key.netns
	size := w.e.ports(netns).size()
	k := key{netns: netns, at: d.key.remote, word: clientWord}
	if held < timeWaitLeast || held*100 < size*timeWaitFew {
		if x := w.book.entries[k]; x != nil {
			x.data.now, x.data.inUse = held, d.held()
		}
		return
	}
	p := topProcess(&d.processes)
	x := w.book.entry(k, p)
	if x == nil {
		return
	}
	x.process = p
	f := &x.data
	f.at, f.now, f.inUse, f.size = d.key.remote, held, d.held(), size
	f.rate, f.length, f.states = d.entering.rate(w.e.now), d.length(), d.words()
	reuse := w.e.number(netns, sysctlReuse, 2)
	f.reuse = reuse == 1 || reuse == 2 && d.key.remote.Addr().IsLoopback()
	f.told = f.told || d.exhausted
	tooFast := f.rate*f.length.Seconds() > float64(size)
	f.left = 0
	if tooFast {
		f.left = time.Duration(float64(max(size-f.inUse, 0)) / f.rate * float64(time.Second))
	}
	severity := Info
	switch {
	case f.reuse:
	case f.inUse*100 >= size*timeWaitNearly:
		severity = Critical
	case f.inUse*100 >= size*timeWaitMuch, f.inUse*100 >= size*timeWaitSoon && tooFast:
		severity = Warning
	}
	w.keep(x, severity, d)
}

// keep notes the figures of a tick.
func (w *timeWaitPressureWatcher) keep(x *entry[timeWaitFigures], severity Severity, d *destination) {
	f := &x.data
	f.severity = max(f.severity, severity)
	f.peak = max(f.peak, f.now)
	if x.first == 0 {
		x.first, x.netns = w.e.now, x.key.netns
	}
	x.last, x.count = w.e.now, uint64(f.peak)
	if d != nil {
		x.conns = append(x.conns[:0:0], d.conns...)
	}
	w.e.touch(&x.cause)
}

func (w *timeWaitPressureWatcher) server(k key, s *serverTimeWait) {
	x := w.book.entry(key{netns: k.netns, at: k.at, word: serverWord}, s.process)
	if x == nil {
		return
	}
	x.process = s.process
	f := &x.data
	f.server, f.at, f.now, f.rate, f.length = true, k.at, s.now, s.entering.rate(w.e.now), usualTimeWait
	severity := Info
	if most := w.e.number(k.netns, sysctlMaxTimeWait, 1<<18); s.now*100 >= most*timeWaitBuckets {
		severity = Warning
	}
	w.keep(x, severity, nil)
}

func (w *timeWaitPressureWatcher) describe(x *entry[timeWaitFigures], f *Finding) {
	d := &x.data
	f.Severity = d.severity
	x.withdrawn = d.told
	f.Withdrawn = x.withdrawn
	v := (*figures)(&f.Evidence)
	if d.server {
		f.Summary = connections(d.peak) + " of " + endpoint(d.at) + " in TIME_WAIT at once; " + digits(d.now) + " now"
		f.Cause = "our process, the server, closes first; these hold no port, but memory and room in tcp_max_tw_buckets"
		v.word("side", serverWord)
	} else {
		f.Summary = fmt.Sprintf("%s ports in TIME_WAIT towards %s; %s of the %s of ip_local_port_range in use",
			digits(d.peak), endpoint(d.at), digits(d.inUse), digits(d.size))
		f.Cause = "our process, the client, closes first and opens " + fmt.Sprintf("%.0f", d.rate) +
			" connections a second; each keeps its port for " + span(d.length)
		switch {
		case d.reuse:
			f.Cause += ". tcp_tw_reuse lets connect() take these ports again after 1 s"
		case d.left > 0:
			f.Cause += ". At that rate no port is left in " + span(d.left)
		}
		v.word("side", clientWord)
	}
	v.count("time_wait", int64(d.now))
	v.count("peak", int64(d.peak))
	if !d.server {
		v.count("ports_in_use", int64(d.inUse))
		v.count("ports", int64(d.size))
		v.word("states", d.states)
	}
	v.count("per_second", int64(d.rate))
	v.length("time_wait_length", d.length)
	v.length("time_left", d.left)
	w.e.quote(f, x.key.netns, sysctlPortRange, sysctlReuse, sysctlMaxTimeWait)
}
