package recording

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A kind says what a row is: an event's kind, or one of those below.
type kind uint8

const (
	rowTick kind = 200 + iota
	rowInfo
	rowNamespace
	rowProcess
	rowSnapshot
	rowSocket
	rowDescriptors
	rowCounters
)

var rowNames = map[kind]string{
	rowTick: "@tick", rowInfo: "@info", rowNamespace: "@namespace", rowProcess: "@process",
	rowSnapshot: "@snapshot", rowSocket: "@socket", rowDescriptors: "@descriptors", rowCounters: "@counters",
}

// What a row has beside its kind, cause, states and call. The numbers are part
// of the format. The lowest four bits are an addressing.
const (
	hasTime = 1 << (4 + iota)
	hasTask
	hasErr
	hasCount
	hasReason
	hasFrom
	hasLeft
	isWithoutRequest
	hasReset
	hasPacket
	hasQueue
	hasSuppressed
	hasRetransmission
	hasCounters
	hasLoss
	hasISNs
	hasIdle
	isKeptAlive
)

// An addressing says how a row names its socket.
const (
	addressNone    = iota // it has neither identity nor addresses
	addressSame           // of a socket of the block, as last time
	addressPort           // its local port is another now
	addressLocal          // its local address is, too
	addressBoth           // both addresses are
	addressNew            // a new socket
	addressSwapped        // a new one, whose addresses are those of another, swapped
	addressAnswer         // the same, but the other has no local port yet
	addressOf             // no cookie; namespace and addresses are another's

	addressing = 15
)

// A shape is what many rows have in common, packed so that it is compared at
// once: kind, cause, old and new state, call, and 24 bits of what it has.
type shape uint64

func newShape(k kind, cause event.Cause, from, to tcp.State, op event.Op, has uint32) shape {
	return shape(k)<<56 | shape(cause)<<48 | shape(from)<<40 | shape(to)<<32 | shape(op)<<24 | shape(has)
}

func (s shape) kind() kind         { return kind(s >> 56) }
func (s shape) cause() event.Cause { return event.Cause(s >> 48) }
func (s shape) old() tcp.State     { return tcp.State(s >> 40) }
func (s shape) new() tcp.State     { return tcp.State(s >> 32) }
func (s shape) op() event.Op       { return event.Op(s >> 24) }
func (s shape) has() uint32        { return uint32(s) & 0xffffff }

// place is for numbers: shapes that often come are at different ones.
func (s shape) place() uint64 { return uint64(s) * 0x9e3779b97f4a7c15 >> 56 }

// The enumerations by name, as they are stored: their numbers may change.
var (
	kindsByName  = map[string]kind{}
	causesByName = map[string]event.Cause{}
	opsByName    = map[string]event.Op{}
)

func init() {
	for k := event.Kind(1); k < event.NumKinds; k++ {
		kindsByName[k.String()] = kind(k)
	}
	for k, name := range rowNames {
		kindsByName[name] = k
	}
	for c := event.Cause(1); c.String() != ""; c++ {
		causesByName[c.String()] = c
	}
	for _, op := range []event.Op{event.OpConnect, event.OpAccept} {
		opsByName[op.String()] = op
	}
}

func (k kind) String() string {
	if name, ok := rowNames[k]; ok {
		return name
	}
	return event.Kind(k).String()
}

// shape codes a row's shape. Of a kind that this version does not know, the
// kind is 0.
func (b *block) shape(s *shape) {
	if b.writing {
		n, ok := b.shapeNumbers.of(s, s.place())
		if ok {
			b.put(colRows, uint64(n)+1)
			return
		}
		b.shapeNumbers.add(s, s.place(), uint32(len(b.shapeNumbers.all)))
		b.put(colRows, 0)
		b.newShape(s)
		return
	}
	n := b.get(colRows)
	switch {
	case n == 0:
		b.newShape(s)
		b.shapes = append(b.shapes, *s)
	case n <= uint64(len(b.shapes)):
		*s = b.shapes[n-1]
	default:
		b.fail()
	}
}

func (b *block) newShape(s *shape) {
	k, cause, op := s.kind().String(), s.cause().String(), s.op().String()
	from, to, has := s.old(), s.new(), s.has()
	b.string(colShapes, &k)
	b.string(colShapes, &cause)
	number(&b.coder, colShapes, &from)
	number(&b.coder, colShapes, &to)
	b.string(colShapes, &op)
	number(&b.coder, colShapes, &has)
	if from >= tcp.NumStates || to >= tcp.NumStates || has > 0xffffff {
		b.fail()
	}
	*s = newShape(kindsByName[k], causesByName[cause], from, to, opsByName[op], has)
}
