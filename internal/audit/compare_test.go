package audit_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/audit"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const fullNetstat = `TcpExt: SyncookiesSent TW TWRecycled TWKilled ListenOverflows ListenDrops TCPTimeouts TCPLossProbes TCPAbortOnData TCPAbortOnClose TCPAbortOnMemory TCPAbortOnTimeout TCPAbortOnLinger TCPAbortFailed TCPTimeWaitOverflow TCPRetransFail TCPSynRetrans
TcpExt: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
`

var figure = regexp.MustCompile(` -?[0-9]+`)

func zeroed(text string) string { return figure.ReplaceAllString(text, " 0") }

// values are the kernel's figures, all 0 but these.
func values(t *testing.T, figures map[string]int) *audit.Values {
	t.Helper()
	v, err := audit.Parse(with(zeroed(snmp), "Tcp:", figures), with(zeroed(fullNetstat), "TcpExt:", figures))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// with puts figures into the text's line of values.
func with(text, protocol string, figures map[string]int) string {
	names, zeroes, _ := strings.Cut(text[strings.Index(text, protocol):], "\n")
	f := strings.Fields(zeroes)
	for i, name := range strings.Fields(names) {
		if n, ok := figures[name]; ok {
			f[i] = strconv.Itoa(n)
		}
	}
	return names + "\n" + strings.Join(f[:len(strings.Fields(names))], " ") + "\n"
}

func window(from, to int) audit.Window {
	ms := func(n int) event.Time { return event.Time(time.Duration(n) * time.Millisecond) }
	return audit.Window{From: ms(from), To: ms(to)}
}

// What happens before the first reading or after the last does not count; what
// happens during one may.
func TestCompare_Windows(t *testing.T) {
	tally := audit.NewTally()
	tally.Begin(netns, window(100, 102))
	for _, ms := range []int{50, 101, 200, 300, 501, 600} {
		if ms == 600 {
			tally.End(netns, window(500, 502))
		}
		tally.Handle(state(ms, tcp.SynRecv, tcp.Established, nil))
	}
	lines := tally.Compare(netns, values(t, nil), values(t, map[string]int{"PassiveOpens": 4}))
	got := lines[audit.PassiveOpens]
	want := audit.Line{
		NetNS: netns, Counter: audit.PassiveOpens, Tcptrace: 3, Kernel: 4, Less: 1, More: 1,
		Why: []string{"it happened as the kernel's figures were read"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
	if !got.Holds() || got.Equal() || got.Difference() != 1 {
		t.Errorf("holds %v, equal %v, difference %d; want true, false, 1", got.Holds(), got.Equal(), got.Difference())
	}
}

// What the kernel says of itself explains some differences.
func TestCompare_KernelsOwnReasons(t *testing.T) {
	closeWait := state(50, tcp.Established, tcp.CloseWait, nil)
	for _, tt := range []struct {
		name    string
		events  []*event.Event
		kernel  map[string]int
		counter audit.Counter
		prepare func(*audit.Tally)
		holds   bool
		why     string
	}{
		{
			name: "an old kernel leaves CLOSE_WAIT out", events: []*event.Event{state(49, tcp.SynRecv, tcp.Established, nil), closeWait},
			kernel: map[string]int{"CurrEstab": 0}, counter: audit.CurrEstab, holds: true, why: "kernels before 6.11 leave CLOSE_WAIT out",
		},
		{
			name: "failed sends are not seen", kernel: map[string]int{"RetransSegs": 2, "TCPRetransFail": 2},
			counter: audit.RetransSegs, holds: true, why: "before Linux 6.18 a segment that could not be sent is not seen",
		},
		{
			name: "failed sends are seen", kernel: map[string]int{"RetransSegs": 2, "TCPRetransFail": 2},
			counter: audit.RetransSegs, prepare: (*audit.Tally).SeesUnsent, holds: false,
		},
		{
			name: "RSTs without a socket are not seen", kernel: map[string]int{"OutRsts": 5}, counter: audit.OutRsts,
			prepare: func(tally *audit.Tally) { tally.Blind(audit.OutRsts, "an old kernel") }, holds: true, why: "an old kernel",
		},
		{
			name: "more than the kernel is never right", events: []*event.Event{at(50, event.ResetSent, nil)},
			counter: audit.OutRsts, prepare: func(tally *audit.Tally) { tally.Blind(audit.OutRsts, "an old kernel") }, holds: false,
		},
		{
			name: "probes of new data are not seen", kernel: map[string]int{"TCPLossProbes": 3}, counter: audit.TCPLossProbes,
			holds: true, why: "a probe that sends new data is no retransmit and is not seen",
		},
		{
			name: "a loss explains, but excuses nothing", kernel: map[string]int{"ActiveOpens": 1}, counter: audit.ActiveOpens,
			events: []*event.Event{at(50, event.Lost, func(ev *event.Event) { ev.Loss = event.Loss{Kind: event.Bound, Count: 3} })},
			holds:  false, why: "3 events were lost",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tally := tallyOf(tt.events...)
			if tt.prepare != nil {
				tt.prepare(tally)
			}
			l := tally.Compare(netns, values(t, nil), values(t, tt.kernel))[tt.counter]
			if l.Holds() != tt.holds || strings.Join(l.Why, "; ") != tt.why {
				t.Errorf("holds %v because %q, want %v because %q: %+v", l.Holds(), l.Why, tt.holds, tt.why, l)
			}
		})
	}
}

// TCP_LINGER2 moves a socket from one of two counters to the other.
func TestCompare_ShortLivedOnTheOtherSide(t *testing.T) {
	tally := audit.NewTally()
	tally.FinTimeout(netns, time.Minute)
	for _, ev := range []*event.Event{
		at(50, event.TimeWaitBegin, func(ev *event.Event) { ev.New = tcp.FinWait2 }),
		state(50, tcp.FinWait2, tcp.Close, nil),
	} {
		tally.Handle(ev)
	}
	lines := tally.Compare(netns, nil, values(t, map[string]int{"TWKilled": 1}))
	for _, c := range []audit.Counter{audit.TW, audit.TWKilled} {
		if l := lines[c]; l.Equal() || !l.Holds() {
			t.Errorf("%v: equal %v, holds %v; want false, true", c, l.Equal(), l.Holds())
		}
	}
}
