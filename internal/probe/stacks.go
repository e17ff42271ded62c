//go:build linux

package probe

import (
	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
)

// Stack returns where in its own code a process was as it opened a connection or
// got it, until that closes; false where it is not known: Options.Stacks is not
// set, the connection is older than the trace, there are more than 65,536, or the
// kernel could not read the stack. It may be called from any goroutine until Close.
func (s *Source) Stack(socket event.ID) (Stack, bool) {
	var found bpf.TcptraceTtStack
	if !s.opts.Stacks || s.programs.collection.Maps[bpf.TcptraceMapStacks].Lookup(socket.Cookie, &found) != nil || found.Count == 0 {
		return Stack{}, false
	}
	call, known := calls[bpf.TcptraceTtOp(found.Op)]
	if !known {
		return Stack{}, false
	}
	n := min(int(found.Count), len(found.Frames))
	return Stack{Call: call, PID: found.Pid, Frames: append([]uint64(nil), found.Frames[:n]...)}, true
}

var calls = map[bpf.TcptraceTtOp]string{
	bpf.TcptraceTtOpTT_OP_CONNECT: "connect",
	bpf.TcptraceTtOpTT_OP_ACCEPT:  "accept",
	bpf.TcptraceTtOpTT_OP_READ:    "read",
}
