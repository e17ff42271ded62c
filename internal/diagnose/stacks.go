package diagnose

import (
	"strings"

	"github.com/tcptrace/tcptrace/internal/event"
)

// Stacks tell where in its own code a process was as it opened a connection, or
// got one. A nil Stacks tells nothing.
type Stacks interface {
	// Stack returns the call, connect, accept, or read where accept was not
	// seen, and the names of the functions that it was called from, the
	// innermost first; none where they are not known. It is asked only for a
	// finding that is told.
	Stack(socket event.ID) (call string, functions []string)
}

// maxStacks is of how many connections of a finding the stacks are looked at,
// the oldest as a rule.
const maxStacks = 64

// A CallStack is where the connections of a finding were opened or accepted: most
// of them, of those that were looked at.
type CallStack struct {
	Call      string   // connect, accept or read
	Functions []string // innermost first; bytes that somebody chose
	Count, Of int      // connections with this one, and those looked at
}

// addStack adds the stack that most of the cause's connections have. Once all are
// closed, or their process is gone, it is that of before.
func (e *Engine) addStack(c *cause, f *Finding) {
	if e.options.Stacks == nil || c.sockets == nil {
		return
	}
	looked := 0
	found := map[string]*CallStack{}
	var most *CallStack
	c.sockets(func(id event.ID) bool {
		looked++
		call, functions := e.options.Stacks.Stack(id)
		if len(functions) > 0 {
			key := call + "\n" + strings.Join(functions, "\n")
			s := found[key]
			if s == nil {
				s = &CallStack{Call: call, Functions: functions}
				found[key] = s
			}
			if s.Count++; most == nil || s.Count > most.Count {
				most = s
			}
		}
		return looked < maxStacks
	})
	if most != nil {
		most.Of = looked
		c.stack = most
	}
	f.Stack = c.stack
}
