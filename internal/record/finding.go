package record

import (
	"strconv"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/member"
)

// AppendFinding appends the record of a finding as it stands at a time, and a
// newline. final says that the trace is over: of all records with the same id
// the last one stands.
func AppendFinding(b []byte, f *diagnose.Finding, at event.Time, final bool, clock event.Clock) []byte {
	w := newWriter(b)
	w.head("finding", &conn.Change{Time: at}, clock)
	w.Word("rule", f.Rule.Name)
	w.Text("id", f.ID)
	w.Word("severity", f.Severity.String())
	w.Uint("count", f.Count)
	w.Text("summary", f.Summary)
	w.Text("cause", f.Cause)
	w.Text("advice", f.Advice)
	w.Text("cost", f.Cost)
	w.Text("more", f.More)
	w.evidence(f.Evidence)
	w.stack(f.Stack)
	w.process("process", &f.Process.Task, f.Process.Via)
	w.process("peer_process", &f.Peer.Task, conn.ViaUnknown)
	w.process("actor", &f.Actor.Task, conn.ViaUnknown)
	w.known("netns", f.NetNS)
	if len(f.Conns) > 0 {
		w.Open("connections", '[')
		for _, id := range f.Conns {
			w.Comma()
			w.B = append(strconv.AppendUint(append(w.B, `"`...), id.Cookie, 16), `"`...)
		}
		w.Close(']')
	}
	if f.First != 0 {
		w.Time("first", clock.Wall(f.First))
		w.Time("last", clock.Wall(f.Last))
	}
	if f.Withdrawn {
		w.Bool("withdrawn", true)
	}
	if final {
		w.Bool("final", true)
	}
	w.Close('}')
	return append(w.B, '\n')
}

func (w *writer) stack(s *diagnose.CallStack) {
	if s == nil {
		return
	}
	w.Open("stack", '{')
	w.Word("call", s.Call)
	w.Int("count", int64(s.Count))
	w.Int("of", int64(s.Of))
	w.Open("functions", '[')
	for _, name := range s.Functions {
		w.Comma()
		w.B = member.AppendString(w.B, name)
	}
	w.Close(']')
	w.Close('}')
}

func (w *writer) evidence(figures []diagnose.Figure) {
	w.Open("evidence", '{')
	for i := range figures {
		switch f := &figures[i]; f.Kind {
		case diagnose.Number:
			w.Int(f.Name, f.Number)
		case diagnose.Length:
			w.Int(f.Name+"_ns", int64(f.Length))
		case diagnose.Word:
			w.Text(f.Name, f.Word)
		case diagnose.List:
			w.Open(f.Name, '[')
			for _, n := range f.List {
				w.Comma()
				w.B = strconv.AppendInt(w.B, n, 10)
			}
			w.Close(']')
		}
	}
	w.Close('}')
}
