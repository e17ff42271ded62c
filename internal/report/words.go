package report

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/render"
)

// group spells n with a comma at every thousand.
func group(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// countOf spells a number of things.
func countOf(n uint64, one string) string {
	switch {
	case n == 1:
		return "1 " + one
	case strings.HasSuffix(one, "s"):
		return group(n) + " " + one + "es"
	}
	return group(n) + " " + one + "s"
}

// orNothing spells n, and 0 as nothing.
func orNothing(n uint64) string {
	if n == 0 {
		return ""
	}
	return group(n)
}

func lasting(d time.Duration) string { return string(render.AppendDuration(nil, d)) }

func bounded(d time.Duration, bound conn.Bound) string {
	switch bound {
	case conn.Exact:
		return lasting(d)
	case conn.AtLeast:
		return "≥" + lasting(d)
	case conn.AtMost:
		return "≤" + lasting(d)
	}
	return "?"
}

// process names a process as name/pid, with its host where that is another, and "" where it is not known.
func process(t *event.Task) string {
	if !t.Known() {
		return ""
	}
	name, _, _ := bytes.Cut(t.Comm[:], []byte{0})
	words := render.Safe(string(name)) + "/" + strconv.FormatUint(uint64(t.PID), 10)
	if t.Label != nil && t.Label.Host != "" {
		words += " on " + safe(t.Label.Host)
	}
	return words
}

// where says in short where a process runs.
func where(t *event.Task) string {
	l := t.Label
	switch {
	case l == nil:
		return ""
	case l.Container != "":
		id := l.Container[:min(len(l.Container), 12)]
		return strings.TrimSpace(render.Safe(l.Runtime + " " + id))
	case l.Unit != "":
		return clip(render.Safe(l.Unit))
	}
	return clip(render.Safe(l.Cgroup))
}

// clip keeps the end of what is too long for a table.
func clip(s string) string {
	const most = 60
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return "…" + string(r[len(r)-most+1:])
}

func endpoint(e netip.AddrPort) string {
	if !e.IsValid() || e.Port() == 0 {
		return ""
	}
	return netip.AddrPortFrom(e.Addr().Unmap().WithZone(""), e.Port()).String()
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return "not known"
	}
	return a.Unmap().WithZone("").String()
}

func cookie(id event.ID) string {
	if id.Cookie == 0 {
		return ""
	}
	return strconv.FormatUint(id.Cookie, 16)
}

func bytesOf(n uint64) string {
	const unit = 1000
	if n < 10*unit {
		return group(n) + " B"
	}
	v, names := float64(n), []string{"kB", "MB", "GB", "TB", "PB", "EB"}
	i := -1
	for v >= unit && i < len(names)-1 {
		v /= unit
		i++
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + names[i]
}

// verdict says in one line how it stands, and how bad that is.
func verdict(all []diagnose.Finding) (words, level string) {
	var n [diagnose.Critical + 1]uint64
	for i := range all {
		n[min(all[i].Severity, diagnose.Critical)]++
	}
	switch {
	case n[diagnose.Critical] > 0:
		level = "critical"
	case n[diagnose.Warning] > 0:
		level = "warning"
	case n[diagnose.Info] > 0:
		return "Nothing wrong seen; " + countOf(n[diagnose.Info], "fact") + " worth knowing", "ok"
	default:
		return "Nothing wrong seen", "ok"
	}
	var parts []string
	for s := diagnose.Critical; s >= diagnose.Info; s-- {
		if n[s] > 0 {
			words := group(n[s]) + " " + s.String()
			if s == diagnose.Warning {
				words = countOf(n[s], "warning")
			}
			parts = append(parts, words)
		}
	}
	return countOf(uint64(len(all)), "finding") + ": " + strings.Join(parts, ", "), level
}

// list joins parts as a sentence does: a, b and c.
func list(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// endWords say what became of connections, by how they ended.
var endWords = []struct {
	end   conn.End
	words string
}{
	{conn.EndFIN, "were closed by both sides"},
	{conn.EndResetSent, "were reset by this host"},
	{conn.EndResetReceived, "were reset by the peer"},
	{conn.EndRefused, "were refused"},
	{conn.EndTimeout, "timed out"},
	{conn.EndUnreachable, "met an unreachable network"},
	{conn.EndAborted, "were killed from outside"},
	{conn.EndFinWait2Timeout, "waited in vain for the peer's FIN"},
	{conn.EndOverflow, "found no room for TIME_WAIT"},
	{conn.EndAbandoned, "were given up in the handshake"},
	{conn.EndUnsent, "failed before a SYN left"},
	{conn.EndError, "failed otherwise"},
	{conn.EndUnknown, "ended unseen"},
}

// safe makes harmless what anybody may have chosen.
func safe(s string) string { return render.Safe(s) }

// value spells a figure of a finding's evidence.
func value(f *diagnose.Figure) string {
	switch f.Kind {
	case diagnose.Number:
		if f.Number < 0 {
			return strconv.FormatInt(f.Number, 10)
		}
		return group(uint64(f.Number))
	case diagnose.Length:
		return lasting(f.Length)
	case diagnose.List:
		var parts []string
		for _, n := range f.List {
			parts = append(parts, strconv.FormatInt(n, 10))
		}
		return strings.Join(parts, ", ")
	}
	return safe(f.Word)
}

// outcome says how a connection ended, or in which state it is.
func outcome(c *conn.Connection) string {
	if c.Closed == 0 {
		return "open, " + c.State.String()
	}
	if c.End == conn.EndUnknown {
		return "unseen"
	}
	return strings.ReplaceAll(c.End.String(), "_", " ")
}
