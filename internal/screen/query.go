package screen

import (
	"fmt"
	"slices"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
)

// A Query says what is to be shown. Two that are equal have the same answer, but
// for the time.
type Query struct {
	Tab     Tab
	Sort    string // one of Sorts(Tab); "" is the first
	Reverse bool
	Filter  *Selection // nil selects all
	Focus   Focus
	Rows    int // at most so many
}

// A Selection is the filter that the user typed on the screen.
type Selection struct {
	Text   string // as flags
	Filter filter.Filter
}

// A FocusKind says what a Focus is on.
type FocusKind uint8

const (
	OnList       FocusKind = iota // nothing: the list of the Tab
	OnFinding                     // one finding
	OnTimeline                    // a process's connections against time
	OnGroup                       // the connections of a process, a peer or a listener
	OnConnection                  // one connection
	OnTrouble                     // the resets, or retransmits, of one Trouble
)

// A Focus is one thing that the user looks at more closely. Just what its Kind
// needs is set.
type Focus struct {
	Kind    FocusKind
	Finding string     // its ID
	Group   GroupRef   // also of OnTimeline
	Conn    event.ID   // of OnConnection
	Trouble TroubleKey // whether of resets or of retransmits, Query.Tab says
}

// A GroupRef names a group: Tab says whether it is of Processes, Peers or
// Listeners.
type GroupRef struct {
	Tab Tab
	key groupKey
}

var sorts = [NumTabs][]string{
	Findings:    {"severity", "latest"},
	Connections: {"stuck", "age", "life", "resent", "state", "process", "remote"},
	Processes:   {"open", "rate", "resets", "resent", "name"},
	Peers:       {"open", "rate", "resets", "resent", "address"},
	Resets:      {"latest", "count", "rate"},
	Retransmits: {"latest", "count", "rate", "time-lost"},
	Listeners:   {"queue", "full", "open", "rate", "port"},
}

// Sorts lists the orders that a tab can have, the usual one first.
func Sorts(t Tab) []string { return sorts[t] }

// SortNames lists the orders of all tabs.
func SortNames() (names []string) {
	for _, of := range sorts {
		for _, name := range of {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// CheckSort says whether a tab can be put in an order.
func CheckSort(t Tab, name string) error {
	if name == "" || slices.Contains(sorts[t], name) {
		return nil
	}
	return fmt.Errorf("%s cannot be sorted by %q; write one of %v", t, name, sorts[t])
}

// order returns the order in force.
func (q *Query) order() string {
	if q.Sort == "" || !slices.Contains(sorts[q.list()], q.Sort) {
		return sorts[q.list()][0]
	}
	return q.Sort
}

// list returns the tab whose kind of rows the answer has.
func (q *Query) list() Tab {
	switch q.Focus.Kind {
	case OnFinding, OnGroup, OnTimeline, OnTrouble, OnConnection:
		return Connections
	}
	return q.Tab
}

// role names our side.
func roleWord(r conn.Role) string {
	if r == conn.RoleUnknown {
		return "-"
	}
	return r.String()
}
