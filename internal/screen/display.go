package screen

import (
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
)

// DisplayOptions say how a Display looks, and what it is told of the command
// line.
type DisplayOptions struct {
	Host, Kernel string
	Clock        event.Clock
	Zone         *time.Location // nil: the local one
	ASCII        bool           // draw with ASCII characters alone
	Selected     []string       // the selection of the command line, as flags
	Args         []string       // the command line behind "tcptrace watch", but for the view's own flags

	// ParseFilter reads flags. Its errors say what to write instead.
	ParseFilter func(text string) (filter.Filter, error)

	Tab     Tab    // to begin with
	Sort    string // of that
	Reverse bool
	Filter  *Selection
}

// A Display is the terminal's side: a bubbletea model.
type Display struct {
	options       DisplayOptions
	shared        *shared
	width, height int

	view   *View // what is shown; nil before there is any
	query  Query // what is asked for
	past   []place
	orders [NumTabs]order

	selected int   // row
	chosen   Focus // what names that row, which it keeps as others come and go
	top      int   // first line of the body that is shown
	moved    bool  // the selection was: it is to be in the picture
	docRows  int   // rows that can be selected
	before   int   // lines before them
	room     int   // lines that there is room for

	ahead []tea.KeyPressMsg // typed before the rows were there that they are about

	needs   []int // what the columns of a list need
	needsOf Query // the list: Tab and Focus

	paused     bool
	help       bool
	helpTop    int
	typing     bool
	input      string
	inputError string
	said       string // in the place of the keys, until the next one
	quitting   bool

	content string // the last picture
	dirty   bool
}

// A place is where Esc goes back to.
type place struct {
	query    Query
	selected int
	chosen   Focus
	top      int
}

// An order is how one tab is sorted.
type order struct {
	sort    string
	reverse bool
}

// viewed asks a Display to look at a new View.
type viewed struct{}

func newDisplay(options DisplayOptions, s *shared) *Display {
	d := &Display{options: options, shared: s, dirty: true, moved: true}
	d.orders[options.Tab] = order{options.Sort, options.Reverse}
	d.query = Query{Tab: options.Tab, Sort: options.Sort, Reverse: options.Reverse, Filter: options.Filter, Rows: leastRows}
	d.ask()
	return d
}

// Init begins to wait for Views.
func (d *Display) Init() tea.Cmd { return d.await }

func (d *Display) await() tea.Msg {
	<-d.shared.fresh
	return viewed{}
}

// Update takes in a key, a size, or that there is a new View.
func (d *Display) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case viewed:
		d.look()
		return d, d.await
	case tea.WindowSizeMsg:
		d.width, d.height = msg.Width, msg.Height
		d.moved, d.dirty = true, true
		d.ask()
	case tea.KeyPressMsg:
		d.dirty = true
		if d.press(msg) {
			d.quitting = true
			return d, tea.Quit
		}
	case tea.PasteMsg:
		if d.typing {
			d.input += msg.Content
			d.dirty = true
		}
	}
	return d, nil
}

// View returns the picture, which is drawn again only if something has changed.
func (d *Display) View() tea.View {
	// What does not answer the question is left as it is, until the answer comes.
	if d.dirty && (d.view == nil || d.help || d.answered()) {
		d.content = d.draw()
		d.dirty = false
	}
	v := tea.NewView(d.content)
	v.AltScreen = true
	return v
}

// look takes a new View, unless the picture is stopped: then only one that
// answers another question.
func (d *Display) look() {
	v := d.shared.view.Load()
	if v == nil || v == d.view || v.Query != d.query {
		return
	}
	if d.paused && d.view != nil && d.view.Query == v.Query {
		return
	}
	d.view = v
	d.follow()
	d.catchUp()
	d.dirty = true
}

// follow finds the selected row again.
func (d *Display) follow() {
	if d.chosen.Kind == OnList {
		d.remember()
		return
	}
	t := d.view.table()
	if d.selected < t.len && t.focus(d.selected) == d.chosen {
		return
	}
	for i := range t.len {
		if t.focus(i) == d.chosen {
			if d.selected == 0 {
				break // who is at the top stays there
			}
			d.selected = i
			return
		}
	}
	d.selected = max(0, min(d.selected, t.len-1))
	d.remember()
}

// remember notes which row is selected.
func (d *Display) remember() {
	d.chosen = Focus{}
	if d.view == nil {
		return
	}
	if t := d.view.table(); d.selected < t.len {
		d.chosen = t.focus(d.selected)
	}
}

const (
	leastRows = 256
	mostRows  = 16384
)

// ask puts the question where the Model finds it. The rows asked for are a power of
// two, so that a step down is not another question.
func (d *Display) ask() {
	need := d.selected + 2*d.height + 1
	rows := leastRows
	for rows < need && rows < mostRows {
		rows *= 2
	}
	d.query.Rows = rows
	q := d.query
	d.shared.query.Store(&q)
}
