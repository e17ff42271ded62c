//go:build linux

package probe

import (
	"fmt"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Shed changes what is left out, for events from the time on that it returns. It
// is to be called from the goroutine of Run, as OnBatch is. Where more sockets
// are told of than before, a sweep soon finds those that are open.
func (s *Source) Shed(what event.Shedding) (event.Time, error) {
	variables := s.programs.collection.Variables
	for name, value := range map[string]any{
		bpf.TcptraceVarShedDrops: what.Drops, bpf.TcptraceVarShedRetransmits: what.Retransmits, bpf.TcptraceVarShedSockets: what.Mask(),
	} {
		if err := variables[name].Set(value); err != nil {
			return 0, fmt.Errorf("tell the BPF programs what to leave out (%s): %w", name, err)
		}
	}
	if s.sweeper != nil {
		s.sweeper.wanted = s.sweeper.wanted || what.Sockets < s.sweeper.shed.Sockets
		s.sweeper.shed = what
	}
	return now(), nil
}

// LeftOut returns how many events were left out since Open, as of the last poll:
// drops, congestion states, and those of whole connections.
func (s *Source) LeftOut() (drops, retransmits, connections uint64) {
	for kind, tally := range s.ledger.known {
		switch event.Kind(kind) {
		case event.Dropped:
			drops += tally.Shed
		case event.Congestion:
			retransmits += tally.Shed
		default:
			connections += tally.Shed
		}
	}
	return drops, retransmits, connections
}

// leaves reports whether a sweep leaves out a socket, as the hooks do.
func (s *sweeper) leaves(id event.ID, state tcp.State) bool {
	return state != tcp.Listen && !s.shed.Tells(id.Cookie)
}
