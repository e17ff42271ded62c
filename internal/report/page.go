package report

import (
	"html/template"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// Facts are what a Collector cannot know of a trace. What is not known is empty.
type Facts struct {
	Clock   event.Clock
	Version string // of tcptrace
	Command string // that made the page
	Host    string
	Prefix  string // of the page's ids, where several pages become one
	Kernel  string
	Source  string // where the events come from, such as "the running kernel"

	Summary      trace.Summary // what the trace could not show
	Capabilities []Capability
	Settings     diagnose.Settings // the sysctls in force; nil: none is known
	Notes        []string          // more that a reader has to know, a sentence each

	Limits Limits
}

// A Capability is how well the host served one thing that tcptrace can tell.
type Capability struct{ Name, Grade, Hook, Lost, Why, Remedy string }

// Limits bound what is on a page. A page says what it leaves out.
type Limits struct {
	Connections int // rows of the table of connections; 0 means 2,000
	Bars        int // connections drawn against time; 0 means 600
	Findings    int // 0 means 100
	Rows        int // of any other table; 0 means 500

	// Share divides the bytes that the page may take: into so many, where so
	// many pages become one. 0 means 1.
	Share int
}

func (l *Limits) fill() {
	for _, limit := range []struct {
		to    *int
		usual int
	}{{&l.Connections, 2000}, {&l.Bars, 600}, {&l.Findings, 100}, {&l.Rows, 500}, {&l.Share, 1}} {
		if *limit.to <= 0 {
			*limit.to = limit.usual
		}
	}
}

// A Page is what the template shows. Its strings may hold what a stranger chose,
// in which nothing is left that could disturb a reader; the template escapes
// them. What is template.HTML consists of our own words and of numbers.
type Page struct {
	Title   string
	Prefix  string // of the ids, where there are several pages in one
	Host    string
	Facts   []fact // of the heading: host, time and so on
	Level   string // the worst severity, or "ok"
	Verdict string
	Words   []string
	Figures []figure

	HasFindings  bool
	Findings     []finding
	FindingsLeft string
	Panels       []panel
	PanelsFrom   string // when the axes of time begin
	Axis         template.HTML
	Length       string // of the axes, in ms
	Legend       []legend
	Groups       []barGroup
	GroupsLeft   string
	Tables       []table
	HostTables   []table
	Losses       *table
	LossWords    []string
	Left         []string
	Series       seriesData

	Footer string // what wrote it
}

// A fact is a name and a value.
type fact struct{ Name, Value string }

// A figure is a number that sums up.
type figure struct{ Value, Name, Note, Class string }

// A finding is one diagnosis.
type finding struct {
	ID, Level, Rule, Short, Process, Count string
	Lines                                  []fact // what, why, do and so on
	Evidence                               []evidence
	Conns                                  []link
	More                                   string // the command
}

type evidence struct{ Name, Value, Meaning string }

// A link leads to another place of the page; without To it is text.
type link struct{ Text, To string }

// A legend explains a colour.
type legend struct{ Class, Name, Meaning string }

// A barGroup is a process with its connections against time.
type barGroup struct {
	ID, Process, Where, Sum string
	Stays                   []stay
	Bars                    []bar
	Left                    string
}

// A stay says for how long connections of a process are in a state.
type stay struct{ Class, State, Count, Median, P99, Max, Now, Longest string }

// A bar is one connection against time.
type bar struct {
	Row       int // of the table of connections
	Name      string
	Life, End string
	Drawing   template.HTML
}

// A table can be sorted and filtered.
type table struct {
	ID, Kind, Title, Note, Empty string
	Columns                      []column
	Rows                         []row
	Left                         string
}

type column struct {
	Name, Class, Meaning string
	Head                 bool // its cells name their rows
}

type row struct {
	ID    string
	Cells []cell
}

type cell struct{ Text, Class string }

// seriesData is what the script needs to say the count of a moment.
type seriesData struct {
	Begin  string           `json:"begin"`  // RFC 3339, of the axes
	Length float64          `json:"length"` // of the axes, ms
	Every  float64          `json:"every"`  // between two counts, ms
	Counts map[string][]int `json:"counts"` // by state
}
