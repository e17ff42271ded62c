package main

import (
	"encoding/binary"
	"time"

	"github.com/spf13/pflag"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/symbol"
)

func stacksFlag(fs *pflag.FlagSet, to *bool) {
	fs.BoolVar(to, "stacks", false, "with a finding about connections that a process holds, also where in its code it called"+
		" connect() or accept(); needs frame pointers in it. Costs some microseconds for each connection that begins")
}

// stackNamer knows where connections were opened, in words.
type stackNamer struct {
	source *probe.Source // nil until it is open
	names  *symbol.Resolver
	known  map[string][]string // by process and addresses: many have the same
	since  time.Time           // when known began; a process may become another
}

// Stack makes a stackNamer a diagnose.Stacks.
func (n *stackNamer) Stack(socket event.ID) (call string, functions []string) {
	if n.source == nil {
		return "", nil
	}
	stack, ok := n.source.Stack(socket)
	if !ok {
		return "", nil
	}
	if time.Since(n.since) > time.Second {
		n.known, n.since = map[string][]string{}, time.Now()
	}
	key := binary.NativeEndian.AppendUint32(nil, stack.PID)
	for _, frame := range stack.Frames {
		key = binary.NativeEndian.AppendUint64(key, frame)
	}
	functions, ok = n.known[string(key)]
	if !ok {
		functions = n.names.Functions(stack.PID, stack.Frames)
		n.known[string(key)] = functions
	}
	return stack.Call, functions
}
