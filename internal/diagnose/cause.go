package diagnose

import (
	"iter"
	"net/netip"
	"strconv"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A key tells causes of one rule apart. What does not tell is zero.
type key struct {
	who   *process
	netns uint32
	at    netip.AddrPort // an address alone has port 0
	word  string
}

// id spells the key for people and programs.
func (k key) id(r *Rule) string {
	b := []byte(r.Name)
	if k.who != nil {
		b = strconv.AppendUint(append(b, ":pid="...), uint64(k.who.pid()), 10)
		if k.who.reborn > 0 {
			b = strconv.AppendUint(append(b, '#'), uint64(k.who.reborn), 10)
		}
	}
	if k.netns != 0 {
		b = strconv.AppendUint(append(b, ":netns="...), uint64(k.netns), 10)
	}
	if k.at.IsValid() {
		b = append(b, ':')
		if k.at.Port() != 0 {
			b = netip.AddrPortFrom(k.at.Addr().Unmap(), k.at.Port()).AppendTo(b)
		} else {
			b = k.at.Addr().Unmap().AppendTo(b)
		}
	}
	if k.word != "" {
		b = append(append(b, ':'), k.word...)
	}
	return string(b)
}

// A cause is what one finding is about.
type cause struct {
	rule        *Rule
	key         key
	id          string
	process     *process // nil: not known
	peer, actor *process
	netns       uint32 // of the first
	spread      bool   // there are others
	count       uint64
	first, last event.Time
	conns       []event.ID
	withdrawn   bool

	describe func(*Finding)
	holds    func(event.ID) bool // whether a socket is one of these now; nil where no process has them
	sockets  iter.Seq[event.ID]  // those; nil likewise
	fds      []int64             // the first few descriptors by which its process held them when it was told last
	fdCount  int
	stack    *CallStack // as it was told last; never changed
	changed  bool       // it is in Engine.changed
	told     telling
}

// seen says that something happened in a namespace, at a time.
func (c *cause) seen(e *Engine, netns uint32, at event.Time) {
	if c.first == 0 {
		c.first, c.netns = at, netns
	}
	c.first, c.last = min(c.first, at), max(c.last, at)
	if netns != c.netns {
		c.spread = true
	}
	e.touch(c)
}

// note counts one more, of a connection, at a time.
func (c *cause) note(e *Engine, id event.ID, at event.Time) {
	c.count++
	c.seen(e, id.NetNS, at)
	if id.Cookie != 0 && len(c.conns) < maxConns {
		c.conns = append(c.conns, id)
	}
}

// touch says that c's figures have changed.
func (e *Engine) touch(c *cause) {
	if !c.changed {
		c.changed = true
		e.changed = append(e.changed, c)
	}
}

// finding returns c as it stands now.
func (c *cause) finding(e *Engine) Finding {
	f := Finding{
		Rule: c.rule, ID: c.id, Count: c.count, First: c.first, Last: c.last,
		Process: c.process.known(), Peer: c.peer.known(), Actor: c.actor.known(),
		Advice: c.rule.Advice, Cost: c.rule.Cost, More: c.rule.More,
		Conns: c.conns, Withdrawn: c.withdrawn,
	}
	if !c.spread {
		f.NetNS = c.netns
	}
	c.describe(&f)
	f.More, f.Advice = fillPID(f.More, &f.Process), fillPID(f.Advice, &f.Process)
	return f
}

// A book holds the causes of one rule, each with the rule's own figures.
type book[D any] struct {
	e        *Engine
	rule     *Rule
	entries  map[key]*entry[D]
	describe func(*entry[D], *Finding)
}

// An entry is a cause and the rule's own figures of it.
type entry[D any] struct {
	cause
	data D
}

func newBook[D any](e *Engine, r *Rule, describe func(*entry[D], *Finding)) book[D] {
	return book[D]{e: e, rule: r, entries: map[key]*entry[D]{}, describe: describe}
}

// entry returns the cause of k, whose process is p, or nil where there are too
// many.
func (b *book[D]) entry(k key, p *process) *entry[D] {
	if x := b.entries[k]; x != nil {
		return x
	}
	if len(b.entries) >= maxCauses {
		b.e.stats.Unfollowed++
		return nil
	}
	x := &entry[D]{cause: cause{rule: b.rule, key: k, id: k.id(b.rule), process: p}}
	x.cause.describe = func(f *Finding) { b.describe(x, f) }
	b.entries[k] = x
	b.e.forget(k.netns) // what it quotes shall be as it is now
	b.e.causes = append(b.e.causes, &x.cause)
	return x
}

// touchAll says that time has changed what the entries say.
func (b *book[D]) touchAll() {
	for _, x := range b.entries {
		b.e.touch(&x.cause)
	}
}
