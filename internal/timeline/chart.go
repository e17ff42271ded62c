package timeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A View says what part of what a Collector has is to be seen.
type View struct {
	Now    event.Time
	Window time.Duration // the last so much of it; 0: all of it

	// Rows bounds the rows of a chart; 0: no limit.
	Rows int

	// Height bounds its lines below the axis: one for each process and each
	// row, and a table with its heading. 0: no limit. A chart with one is
	// live: the rows most worth seeing come first, where they otherwise come
	// in order of time.
	Height int
}

// A Chart is what is to be drawn.
type Chart struct {
	From, To  event.Time // of the axis
	Began     event.Time // when the trace began
	Live      bool
	Processes []*Process
	Ticks     []Tick // of the axis, once Draw has been called
	Cells     int    // width of the axis

	Connections   int // of all processes, drawn or not
	Open          int // of these
	RowsLeft      int // connections with a part in the window that are not drawn
	ProcessesLeft int // processes not drawn
	Totals        Totals
}

// A Row is one connection of a chart.
type Row struct {
	Conn *Connection // must not be changed
	Bar  []Cell      // Chart.Cells of them, and one more on either side; once Draw has been called

	Longest   Stay // in which state, TIME_WAIT apart, it was for longest
	Current   Stay // of an open connection
	Life      time.Duration
	LifeKnown bool // its begin was seen: else it is at least so long

	rank         int
	stuck, begun event.Time
}

// leastProcesses is how many processes a chart without a bound on its height
// shows, even if none of their connections is among the rows.
const leastProcesses = 20

// Chart lays out what the Collector has. Draw fills in the bars.
func (l *Collector) Chart(v View) *Chart {
	c := &Chart{To: v.Now, Began: l.first, Live: v.Height > 0, Totals: l.totals}
	if v.Window > 0 {
		c.From = v.Now.Add(-v.Window)
	}
	summaries := l.summaries(v.Now)
	rows := l.rank(v, c.From)
	for i := range rows {
		summaries[rows[i].pid()].Shown++
	}
	for _, p := range summaries {
		c.Connections += p.Connections()
		c.Open += p.Open
	}
	for i := range rows {
		r := &rows[i]
		if p := summaries[r.pid()]; r.rank == rankStuck {
			p.worst = max(p.worst, r.Conn.stuck(v.Now))
		}
	}
	all := make([]*Process, 0, len(summaries))
	for _, p := range summaries {
		if p.Shown > 0 || v.Window == 0 {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, byWorst)
	drawn := l.choose(v, all, rows)
	c.arrange(v, all, drawn)
	c.RowsLeft = len(rows)
	for _, p := range c.Processes {
		c.RowsLeft -= len(p.Rows)
	}
	if v.Window == 0 {
		c.fit(v.Now)
	}
	return c
}

// The ranks of rows: the lower, the more worth seeing.
const (
	rankStuck = iota
	rankTroubled
	rankOther
)

func (r *Row) pid() uint32 { return r.Conn.Owner.Task.PID }

// rank returns all rows that have a part in the window, those most worth
// seeing first: the open ones that are stuck, longest first; what is out of
// the ordinary; the others, latest first.
func (l *Collector) rank(v View, from event.Time) []Row {
	var rows []Row
	for r := range l.all {
		if v.Window > 0 && r.Until(v.Now) < from {
			continue
		}
		row := Row{Conn: r, rank: rankOther, begun: r.Begin()}
		if r.stuck(v.Now) > 0 {
			row.rank, row.stuck = rankStuck, r.Since
		} else if r.troubled() {
			row.rank = rankTroubled
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(
			cmp.Compare(a.rank, b.rank),
			cmp.Compare(a.stuck, b.stuck),
			-cmp.Compare(a.begun, b.begun),
			-compare(a.Conn, b.Conn),
		)
	})
	return rows
}

// compare orders connections by time, and those of one time in some order that
// is always the same.
func compare(a, b *Connection) int {
	return cmp.Or(
		cmp.Compare(a.Begin(), b.Begin()),
		cmp.Compare(a.ID.NetNS, b.ID.NetNS),
		cmp.Compare(a.ID.Cookie, b.ID.Cookie),
		a.Local.Compare(b.Local),
		a.Remote.Compare(b.Remote),
		cmp.Compare(a.Closed, b.Closed),
	)
}

func before(a, b *Connection) bool { return compare(a, b) < 0 }

// byWorst orders processes: those first in which something is stuck for
// longest, then those with most connections.
func byWorst(a, b *Process) int {
	return cmp.Or(
		-cmp.Compare(a.worst, b.worst),
		-cmp.Compare(a.Connections(), b.Connections()),
		cmp.Compare(a.Owner.Task.PID, b.Owner.Task.PID),
	)
}

// choose gives each process the rows that are drawn of it, and says which
// processes are.
func (l *Collector) choose(v View, all []*Process, rows []Row) []*Process {
	byPID := make(map[uint32]*Process, len(all))
	limit := len(rows)
	if v.Rows > 0 {
		limit = min(limit, v.Rows)
	}
	drawn := all
	if v.Height > 0 {
		drawn = all[:min(len(all), max(1, v.Height/3))]
		limit = min(limit, allotTables(drawn, v.Height))
	}
	for _, p := range drawn {
		byPID[p.Owner.Task.PID] = p
	}
	taken := make([]bool, len(rows))
	take := func(each int) {
		for i := range rows {
			p := byPID[rows[i].pid()]
			if limit == 0 || p == nil || taken[i] || each > 0 && len(p.Rows) >= each {
				continue
			}
			taken[i] = true
			p.Rows = append(p.Rows, rows[i])
			limit--
		}
	}
	if v.Height > 0 {
		take(1) // of each process, before more of any
	}
	take(0)
	return drawn
}

// allotTables says which processes show their table: those that come first,
// while the tables take no more than two lines in five. It returns the lines that
// are left for rows.
func allotTables(drawn []*Process, height int) int {
	height = max(0, height-len(drawn))
	room := height * 2 / 5
	for _, p := range drawn {
		lines := len(p.States) + 1
		if p.Connections() > 1 && lines <= room {
			p.Table = true
			room -= lines
			height -= lines
		}
	}
	return height
}

// arrange puts the drawn processes into the chart, and their rows in order.
func (c *Chart) arrange(v View, all, drawn []*Process) {
	for i, p := range drawn {
		if v.Height == 0 {
			if len(p.Rows) == 0 && i >= leastProcesses {
				continue
			}
			p.Table = p.Connections() > 1
		}
		slices.SortFunc(p.Rows, func(a, b Row) int {
			if c.Live {
				return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.stuck, b.stuck), -compare(a.Conn, b.Conn))
			}
			return compare(a.Conn, b.Conn)
		})
		for i := range p.Rows {
			p.Rows[i].measure(v.Now)
		}
		c.Processes = append(c.Processes, p)
	}
	c.ProcessesLeft = len(all) - len(c.Processes)
}

func (r *Row) measure(now event.Time) {
	r.Longest = r.Conn.longest(now)
	if r.Conn.IsOpen() {
		r.Current = r.Conn.current(now)
	}
	r.Life = r.Conn.Until(now).Sub(r.Conn.Opened)
	r.LifeKnown = r.Conn.OpenedKnown
}

// fit makes the axis as long as what is drawn.
func (c *Chart) fit(now event.Time) {
	from, to, any := now, event.Time(0), false
	for _, p := range c.Processes {
		for i := range p.Rows {
			r := p.Rows[i].Conn
			from, to, any = min(from, r.Begin()), max(to, r.Until(now)), true
		}
	}
	if !any {
		from, to = min(now, c.Began), now
	}
	c.From, c.To = from, max(to, from+1)
}

// Draw fills in the bars and the axis, cells wide.
func (c *Chart) Draw(cells int) {
	c.Cells = max(cells, 1)
	for _, p := range c.Processes {
		for i := range p.Rows {
			p.Rows[i].Bar = c.bar(p.Rows[i].Conn)
		}
	}
	if c.Live {
		c.Ticks = ticksBack(c.To.Sub(c.From), c.Cells)
	} else {
		c.Ticks = ticks(c.To.Sub(c.From), c.Cells)
	}
}

// Ending returns how a connection ended in the words of records, "open" if it
// has not, and "" where that is not known.
func (r *Row) Ending() string {
	if r.Conn.IsOpen() {
		return "open"
	}
	return r.Conn.End.String()
}
