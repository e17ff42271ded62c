package record

import (
	"strconv"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
)

// AppendFinding appends the record of a finding as it stands at a time, and a
// newline. final says that the trace is over: of all records with the same id
// the last one stands.
func AppendFinding(b []byte, f *diagnose.Finding, at event.Time, final bool, clock event.Clock) []byte {
	w := writer{append(b, '{')}
	w.head("finding", &conn.Change{Time: at}, clock)
	w.word("rule", f.Rule.Name)
	w.text("id", f.ID)
	w.word("severity", f.Severity.String())
	w.uint("count", f.Count)
	w.text("summary", f.Summary)
	w.text("cause", f.Cause)
	w.text("advice", f.Advice)
	w.text("cost", f.Cost)
	w.text("more", f.More)
	w.evidence(f.Evidence)
	w.stack(f.Stack)
	w.process("process", &f.Process.Task, f.Process.Via)
	w.process("peer_process", &f.Peer.Task, conn.ViaUnknown)
	w.process("actor", &f.Actor.Task, conn.ViaUnknown)
	w.known("netns", f.NetNS)
	if len(f.Conns) > 0 {
		w.open("connections", '[')
		for _, id := range f.Conns {
			w.comma()
			w.b = append(strconv.AppendUint(append(w.b, `"`...), id.Cookie, 16), `"`...)
		}
		w.close(']')
	}
	if f.First != 0 {
		w.time("first", clock.Wall(f.First))
		w.time("last", clock.Wall(f.Last))
	}
	if f.Withdrawn {
		w.bool("withdrawn", true)
	}
	if final {
		w.bool("final", true)
	}
	w.close('}')
	return append(w.b, '\n')
}

func (w *writer) stack(s *diagnose.CallStack) {
	if s == nil {
		return
	}
	w.open("stack", '{')
	w.word("call", s.Call)
	w.int("count", int64(s.Count))
	w.int("of", int64(s.Of))
	w.open("functions", '[')
	for _, name := range s.Functions {
		w.comma()
		w.b = appendString(w.b, name)
	}
	w.close(']')
	w.close('}')
}

func (w *writer) evidence(figures []diagnose.Figure) {
	w.open("evidence", '{')
	for i := range figures {
		switch f := &figures[i]; f.Kind {
		case diagnose.Number:
			w.int(f.Name, f.Number)
		case diagnose.Length:
			w.int(f.Name+"_ns", int64(f.Length))
		case diagnose.Word:
			w.text(f.Name, f.Word)
		case diagnose.List:
			w.open(f.Name, '[')
			for _, n := range f.List {
				w.comma()
				w.b = strconv.AppendInt(w.b, n, 10)
			}
			w.close(']')
		}
	}
	w.close('}')
}
