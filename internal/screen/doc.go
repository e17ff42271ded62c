// Package screen is the view of "tcptrace watch" that fills a terminal.
//
// It has two halves. The Model takes in changes, on the goroutine of the trace,
// and keeps figures of them: bounded, brought up to date with each change, never
// by going through all. The Display runs the terminal: keys in, pictures out. They
// share two pointers. The Display puts up a Query, which says what is to be
// shown; the Model answers with a View, which nobody changes any more. So neither
// waits for the other: a terminal that is slow, or stopped, costs no events.
package screen

import "fmt"

// A Tab is one of the lists that the screen shows.
type Tab uint8

// The tabs, in the order of their keys, which begin with 1.
const (
	Findings Tab = iota
	Connections
	Processes
	Peers
	Resets
	Retransmits
	Listeners

	// NumTabs is how many there are.
	NumTabs
)

var tabNames = [NumTabs]string{"findings", "connections", "processes", "peers", "resets", "retransmits", "listeners"}

// String returns the name that --view takes.
func (t Tab) String() string { return tabNames[min(t, NumTabs-1)] }

// Tabs lists the names of all tabs, in their order.
func Tabs() []string { return tabNames[:] }

// ParseTab reads a name that Tabs lists.
func ParseTab(s string) (Tab, error) {
	for i, name := range tabNames {
		if s == name {
			return Tab(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no view", s)
}
