package screen

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A host is a tracker and the screen of what it understands, of one size.
type host struct {
	t       *testing.T
	tracker *conn.Tracker
	model   *Model
	display *Display
	shared  *shared
}

func (h *host) Open(yield func(*conn.Connection) bool) { h.tracker.Open(yield) }
func (h *host) Lookup(id event.ID) *conn.Connection    { return h.tracker.Lookup(id) }
func (h *host) Stats() conn.Stats                      { return h.tracker.Stats() }
func (h *host) quiet(*conn.Change)                     {}
func (h *host) at(d time.Duration)                     { h.model.Advance(event.Time(d)) }
func (h *host) key(names ...string)                    { h.t.Helper(); h.keys(names) }
func (h *host) resize(width, height int) {
	h.display.Update(tea.WindowSizeMsg{Width: width, Height: height})
}
func (h *host) queues(at time.Duration, all ...Queue) { h.model.Queues(all, event.Time(at)) }
func listening(at string, length, limit uint32) (q Queue) {
	return Queue{NetNS: story.HostNetNS, Local: netip.MustParseAddrPort(at), Length: length, Limit: limit, Drops: 7, DropsKnown: true}
}

// newHost returns one of which nothing is known, shown on a terminal.
func newHost(t *testing.T, width, height int) *host {
	h := &host{t: t, tracker: conn.New(conn.Options{Reuse: true}), shared: newShared()}
	h.model = NewModel(Options{Clock: story.Clock})
	h.model.Attach(h)
	h.display = newDisplay(DisplayOptions{
		Host: "web-1", Kernel: "6.18.44", Clock: story.Clock, Zone: time.UTC, Args: []string{"--netns", "4026531840"},
		Selected: []string{"--netns", "4026531840"}, ParseFilter: parsePorts,
	}, h.shared)
	h.resize(width, height)
	return h
}

// parsePorts reads the one flag that these tests type.
func parsePorts(text string) (f filter.Filter, err error) {
	value, ok := strings.CutPrefix(text, "--port ")
	if !ok {
		return f, errors.New("unknown flag; write --port N")
	}
	port, err := filter.ParsePort(value)
	f.Ports = []uint16{port}
	return f, err
}

// tell plays events, a View a second.
func (h *host) tell(events ...any) {
	for _, ev := range story.Join(events...) {
		for s := h.model.now/event.Time(time.Second) + 1; event.Time(time.Second)*s <= ev.Time; s++ {
			h.model.Advance(event.Time(time.Second) * s)
		}
		h.tracker.Handle(&ev, func(c *conn.Change) { h.model.Show(c) })
	}
}

// look has the question answered.
func (h *host) look() {
	v := h.model.View(*h.shared.query.Load())
	v.Cost = Cost{CPU: 0.0042, Memory: 38 << 20, BPF: 212}
	h.shared.view.Store(v)
	h.display.Update(viewed{})
	h.display.View() // as after each message
}

var keyCodes = map[string]tea.KeyPressMsg{
	"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown},
	"tab": {Code: tea.KeyTab}, "backspace": {Code: tea.KeyBackspace}, "end": {Code: tea.KeyEnd}, "home": {Code: tea.KeyHome},
	"space": {Code: tea.KeySpace, Text: " "}, "pgdown": {Code: tea.KeyPgDown},
}

// keys presses keys, each answered before the next one.
func (h *host) keys(names []string) {
	h.t.Helper()
	h.look()
	for _, name := range names {
		k, ok := keyCodes[name]
		if !ok {
			r := []rune(name)
			if len(r) != 1 {
				h.t.Fatalf("no key %q", name)
			}
			k = tea.KeyPressMsg{Code: r[0], Text: name}
		}
		h.display.Update(k)
		h.look()
	}
}

// text returns the picture without its colours, and checks its size.
func (h *host) text() string {
	h.t.Helper()
	h.look()
	text := ansi.Strip(h.display.View().Content)
	lines := strings.Split(text, "\n")
	if len(lines) > h.display.height {
		h.t.Errorf("%d lines on a terminal of %d", len(lines), h.display.height)
	}
	for i, l := range lines {
		if n := ansi.StringWidth(l); n > h.display.width {
			h.t.Errorf("line %d has %d columns of %d: %s", i+1, n, h.display.width, l)
		}
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

const (
	ms = time.Millisecond
	s  = time.Second
)

// busy is a host on a bad day: a server that leaks connections in CLOSE_WAIT
// and whose accept queue is full at times, a client with a lossy path, resets,
// and a process with a name meant to disturb.
func busy(t *testing.T, width, height int) *host {
	h := newHost(t, width, height)
	nginx, java, curl := story.Task(812, "nginx"), story.Task(4194304, "java"), story.Task(4242, "curl")
	web := story.NewSocket(0x10, "0.0.0.0:443", "")
	app := story.NewSocket(0x11, "[::]:8080", "")
	h.at(1 * s)
	h.tell(
		story.By(nginx, web.Seen(1*s, tcp.Listen)), story.By(java, app.Seen(1*s, tcp.Listen)),
		web.Swept(900*ms, 1*s),
	)
	cookie := uint64(0x100)
	end := func(local, remote string) story.Socket {
		cookie++
		return story.NewSocket(cookie, local, remote)
	}
	for i := range 7 { // the peer closes, java does not
		at := 10*s + time.Duration(i)*s
		x := end("10.0.0.1:8080", fmt.Sprintf("10.9.8.7:%d", 50000+i))
		h.tell(x.Accept(at, 300*time.Microsecond), x.Used(at+ms, tcp.Established, java), x.State(at+500*ms, tcp.Established, tcp.CloseWait))
	}
	for i := range 5 { // which stay open
		at := 20*s + time.Duration(i)*s
		x := end("10.0.0.1:443", fmt.Sprintf("10.9.9.%d:61000", i+1))
		h.tell(x.Accept(at, 1200*time.Microsecond), x.Accepted(at+2*ms, tcp.Established, nginx))
	}
	for i := range 3 { // to a database, over a bad path
		at := 30*s + time.Duration(i)*s
		x := end(fmt.Sprintf("10.0.0.1:%d", 40000+i), "192.168.7.7:5432")
		h.tell(x.Connect(at, 31*ms, java))
		for n := range 4 {
			h.tell(x.Retransmit(at+100*ms+time.Duration(n)*50*ms, tcp.Established, event.Retransmission{
				Seq: 1000, Bytes: 1448, RTOms: 204, SRTTus: 31000, Cwnd: 3, CAState: 4, Retransmits: uint8(n + 1), Head: true, Segments: 1,
			}))
		}
	}
	refused := end("[2001:db8::1]:50000", "[2001:db8::2]:81")
	h.tell(
		refused.Connect(40*s, 0, curl)[:2], refused.ResetReceived(40*s+40*time.Microsecond, tcp.SynSent),
		story.Failed(event.ECONNREFUSED, refused.State(40*s+41*time.Microsecond, tcp.SynSent, tcp.Close)),
	)
	done := end("10.0.0.1:41000", "10.9.8.7:443")
	h.tell(
		done.Connect(41*s, 400*time.Microsecond, curl),
		story.By(curl, done.State(42*s, tcp.Established, tcp.FinWait1)),
		done.State(42*s+20*time.Microsecond, tcp.FinWait1, tcp.FinWait2), done.TimeWait(42*s+40*time.Microsecond, tcp.FinWait2),
	)
	evil := end("10.0.0.1:40100", "203.0.113.9:443")
	h.tell(evil.Connect(43*s, 20*ms, story.Task(66, "\x1b[2J\x1b]0;x\a\u202eevil")))
	full := event.Event{
		Kind: event.QueueFull, Time: event.Time(44 * s), ID: web.ID, Local: web.Local, Count: 3, Queue: event.Queue{Length: 129, Limit: 128},
	}
	full.Remote = netip.MustParseAddrPort("10.9.9.77:50001")
	h.tell(full)
	h.queues(45*s, listening("0.0.0.0:443", 120, 128), listening("[::]:8080", 0, 4096))
	h.tell(story.Lost(44*s, 45*s, event.Retransmit, 17))
	h.tracker.Advance(event.Time(49*s), h.model.Show)
	for at := 46 * s; at <= 50*s; at += s {
		h.at(at)
	}
	return h
}
