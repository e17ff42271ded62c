// Package diagnose tells what is wrong with the connections of a host, whose it
// is, and what to do. Changes go in, findings come out; it reads no clock and
// does no I/O, and event time is its only time: a replay finds the same.
//
// Each rule has one file, with what it means, when it fires and why then, its
// evidence, its advice and what that costs; its cases stand in the test beside
// it. docs/findings.md is made of these.
package diagnose

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// A Severity ranks findings.
type Severity uint8

const (
	None     Severity = iota // it is no finding, or not yet
	Info                     // worth knowing; nobody has to act
	Warning                  // somebody should act
	Critical                 // connections fail, or soon will
)

// String returns the word that records use, or "" for None.
func (s Severity) String() string {
	return [...]string{"", "info", "warning", "critical"}[min(s, Critical)]
}

// A Finding is one diagnosis as it stands at one time. A later one with the
// same ID replaces it.
type Finding struct {
	Rule     *Rule
	ID       string // the same for the same cause, for as long as the trace runs
	Severity Severity
	Count    uint64 // of what the rule counts, connections as a rule

	Summary string // what is seen, in figures; it names no process
	Cause   string // why that is
	Advice  string // what to do
	Cost    string // of that; "" where there is none
	More    string // the command that shows more

	Evidence []Figure
	Stack    *CallStack // nil where it is not known, or does not matter

	Process conn.Owner // whose it is; not Known where nobody knows
	Peer    conn.Owner // the process at the other end, where that is on this host
	Actor   conn.Owner // who did it, where that is neither
	NetNS   uint32     // 0 where it is of several

	Conns       []event.ID // the first few
	First, Last event.Time // of what is counted

	// Withdrawn says that what this ID stood for has become part of another
	// finding.
	Withdrawn bool
}

// A Figure is one piece of evidence. Just one of the values is set, as Kind
// says.
type Figure struct {
	Name   string // as in the rule's documentation
	Kind   FigureKind
	Number int64
	Length time.Duration
	Word   string // our own words, numbers and addresses: nothing that a stranger chose
	List   []int64
}

// A FigureKind says which value a Figure has.
type FigureKind uint8

const (
	Number FigureKind = iota
	Length
	Word
	List
)

// figures gathers evidence. What is not known is left out.
type figures []Figure

func (f *figures) count(name string, n int64) {
	*f = append(*f, Figure{Name: name, Kind: Number, Number: n})
}

func (f *figures) some(name string, n int64) {
	if n != 0 {
		f.count(name, n)
	}
}

func (f *figures) length(name string, d time.Duration) {
	if d > 0 {
		*f = append(*f, Figure{Name: name, Kind: Length, Length: d})
	}
}

func (f *figures) list(name string, l []int64) {
	*f = append(*f, Figure{Name: name, Kind: List, List: l})
}

func (f *figures) word(name, w string) {
	if w != "" {
		*f = append(*f, Figure{Name: name, Kind: Word, Word: w})
	}
}
