package screen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
)

// ErrQuit ends a trace whose user has left the screen.
var ErrQuit = errors.New("the user has left the screen")

// shared is what the two halves have in common.
type shared struct {
	query  atomic.Pointer[Query]
	view   atomic.Pointer[View]
	fresh  chan struct{} // says that there is a new view; holds one
	record atomic.Int32  // how often the user asked to begin or end a recording, not answered yet
}

func newShared() *shared { return &shared{fresh: make(chan struct{}, 1)} }

// put hands over a View. It does not wait for whoever looks at it.
func (s *shared) put(v *View) {
	s.view.Store(v)
	select {
	case s.fresh <- struct{}{}:
	default: // it has not looked at the last one
	}
}

const (
	// viewEvery is the shortest time between two Views, bodyEvery between two
	// lists. A new question is answered at once.
	viewEvery = 500 * time.Millisecond
	bodyEvery = time.Second

	// bodyShare: making lists takes at most one part in so many of the time.
	bodyShare = 25
)

// A Screen joins a Model and a Display: it is the sink of a trace.
type Screen struct {
	model   *Model
	display *Display
	shared  *shared
	hooks   Hooks
	program *tea.Program
	output  *output       // nil: what is written to never waits
	done    chan struct{} // the program is over
	err     error         // why; set before done is closed

	answered *View
	shown    uint64     // Model.taken, when it was
	due      event.Time // of the next View
	bodyDue  event.Time
	looked   event.Time // when Hooks were last asked
	cost     Cost
}

// Hooks are what a Screen asks the outside for, on the goroutine of the trace. Each
// may be nil.
type Hooks struct {
	Now  func() event.Time // the clock of the events
	Cost func() Cost       // what tcptrace takes; asked every five seconds
	Note func() string     // what the header is to say of the run

	// Record begins a recording, or ends the one under way: Note then says so.
	Record func()

	// Listeners is told once a second which network namespaces have listeners,
	// while they are looked at, and returns what was last read of their queues,
	// and when. It must not wait.
	Listeners func(netns []uint32) (queues []Queue, at event.Time)
}

// Terminal is where a Screen is shown.
type Terminal struct {
	In    io.Reader
	Out   io.Writer
	Color bool // false: without colours
	Env   []string
}

// New returns a screen that is not shown yet.
func New(model Options, display DisplayOptions, hooks Hooks) *Screen {
	s := &Screen{model: NewModel(model), shared: newShared(), hooks: hooks, done: make(chan struct{})}
	s.display = newDisplay(display, s.shared)
	if f := display.Filter; f != nil {
		s.model.filter = f.Filter
	}
	return s
}

// Attach says what trace the changes are of.
func (s *Screen) Attach(t Trace) { s.model.Attach(t) }

// Start takes over the terminal. Close gives it back.
func (s *Screen) Start(ctx context.Context, t Terminal) {
	out := t.Out
	if f, ok := out.(*os.File); ok {
		s.output = newOutput(f)
		out = s.output
	}
	options := []tea.ProgramOption{
		tea.WithInput(t.In), tea.WithOutput(out), tea.WithContext(ctx),
		tea.WithoutSignalHandler(), tea.WithFPS(10),
	}
	if t.Env != nil {
		options = append(options, tea.WithEnvironment(t.Env))
	}
	if !t.Color {
		options = append(options, tea.WithColorProfile(colorprofile.ASCII))
	}
	s.program = tea.NewProgram(s.display, options...)
	go func() {
		defer close(s.done)
		_, s.err = s.program.Run()
	}()
}

// Show takes in one change.
func (s *Screen) Show(c *conn.Change) bool {
	s.model.Show(c)
	switch c.Kind {
	case conn.Owned, conn.Found, conn.Orphaned, conn.Dropped, conn.QueueFull, conn.Failed, conn.Idle:
		return false
	}
	return c.Kind != conn.Ended || c.Conn.Closed != 0
}

// Flush makes a View if it is time to. It returns ErrQuit once the user has left.
func (s *Screen) Flush() error {
	now := s.hooks.Now()
	s.model.Advance(now)
	s.answer(now)
	select {
	case <-s.done:
		if s.err != nil && !errors.Is(s.err, tea.ErrProgramKilled) {
			return fmt.Errorf("show the screen: %w", s.err)
		}
		return ErrQuit
	default:
		return nil
	}
}

// answer makes a View of what is asked for.
func (s *Screen) answer(now event.Time) {
	q := s.shared.query.Load()
	asked := s.answered == nil || s.answered.Query != *q || s.shared.record.Load() > 0
	// Where nothing happens, a View a second tells how time goes.
	if !asked && (now < s.due || s.model.taken == s.shown && now < s.due.Add(bodyEvery-viewEvery)) {
		return
	}
	s.due, s.shown = now.Add(viewEvery), s.model.taken
	if s.answered != nil && s.answered.Query.Filter != q.Filter {
		f := filter.Filter{}
		if q.Filter != nil {
			f = q.Filter.Filter
		}
		s.model.SetFilter(f)
	}
	s.ask(q, now)
	if s.hooks.Record != nil {
		for ; s.shared.record.Load() > 0; s.shared.record.Add(-1) {
			s.hooks.Record()
		}
	}
	var v *View
	if asked || now >= s.bodyDue {
		began := time.Now()
		v = s.model.View(*q)
		s.bodyDue = now.Add(max(s.every(now), bodyShare*time.Since(began)))
	} else {
		v = s.model.Refresh(*q, s.answered.Body)
	}
	v.Cost = s.cost
	if s.hooks.Note != nil {
		v.Note = s.hooks.Note()
	}
	s.answered = v
	s.shared.put(v)
}

// every returns the shortest time between two lists. In the first seconds there
// is more to come from the sockets that were there before.
func (s *Screen) every(now event.Time) time.Duration {
	if now.Sub(s.model.begun) < 2*time.Second {
		return viewEvery
	}
	return bodyEvery
}

// ask asks the outside for what no event tells.
func (s *Screen) ask(q *Query, now event.Time) {
	if q.Tab == Listeners && s.hooks.Listeners != nil {
		if queues, at := s.hooks.Listeners(s.model.ListenerNamespaces()); at != 0 {
			s.model.Queues(queues, at)
		}
	}
	if s.hooks.Cost != nil && (s.looked == 0 || now.Sub(s.looked) >= 5*time.Second || now.Sub(s.model.begun) < 5*time.Second && now.Sub(s.looked) >= time.Second) {
		s.looked = now
		s.cost = s.hooks.Cost()
	}
}

// patience is how long Close waits for a terminal that takes in nothing.
const patience = 5 * time.Second

// Close gives the terminal back as it was, and reports whether it could: one that
// takes in nothing is left as it is. It may be called where Start was not.
func (s *Screen) Close() bool {
	if s.program == nil {
		return true
	}
	go s.program.Quit() // which waits, too
	select {
	case <-s.done:
		return true
	case <-time.After(patience):
	}
	if s.output != nil {
		s.output.leave()
	}
	<-s.done
	return false
}

// Command returns the command line that shows what was shown last.
func (s *Screen) Command() string { return s.display.Command() }

// Fits reports whether a terminal can show a Screen, by its TERM.
func Fits() bool {
	term := os.Getenv("TERM")
	return term != "" && term != "dumb"
}
