// Package assert judges statements about connections, such as
// "no CLOSE_WAIT > 5s" or "resets = 0". Changes go in, verdicts come out; it
// reads no clock and does no I/O, so a recording is judged as the live kernel is.
// docs/assert.md explains the language.
package assert

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// An Assertion is one statement, as Parse reads it. Exactly one of figure and
// measure is set.
type Assertion struct {
	Text string // as the user wrote it

	figure  *figure // it counts
	measure *measure
	summary *summary // of measure; nil: each one must be as required
	op      operator // what must hold
	number  uint64
	length  time.Duration

	comm string // of the process whose connections it speaks of; "": any
	port uint16 // on either side; 0: any
}

// Timed reports whether a speaks of time, and not of a number.
func (a *Assertion) Timed() bool { return a.measure != nil }

// Each reports whether a speaks of every stay, and not of a figure of them all.
func (a *Assertion) Each() bool { return a.Timed() && a.summary == nil }

// Subject names what a is about, as the language spells it: "resets",
// "CLOSE_WAIT", "p99 handshake".
func (a *Assertion) Subject() string {
	switch {
	case a.figure != nil:
		return a.figure.name
	case a.summary != nil:
		return a.summary.name + " " + a.measure.name
	}
	return a.measure.name
}

// speaksOf reports whether a connection is one of those that a is about.
func (a *Assertion) speaksOf(c *conn.Change) bool {
	var task event.Task
	var local, remote netip.AddrPort
	switch {
	case c.Conn != nil:
		task, local, remote = c.Conn.Owner.Task, c.Conn.Local, c.Conn.Remote
	case c.Event != nil:
		task, local, remote = c.Event.Task, c.Event.Local, c.Event.Remote
	}
	return a.by(&task) && (a.port == 0 || a.port == local.Port() || a.port == remote.Port())
}

func (a *Assertion) by(t *event.Task) bool { return a.comm == "" || a.comm == commOf(t) }

func commOf(t *event.Task) string {
	for i, c := range t.Comm {
		if c == 0 {
			return string(t.Comm[:i])
		}
	}
	return string(t.Comm[:])
}

// An Outcome says whether an assertion holds.
type Outcome uint8

const (
	Holds    Outcome = iota + 1
	Fails            // it does not
	Unproven         // nothing seen speaks against it, but not all was seen
)

// String returns the word that records use.
func (o Outcome) String() string { return [...]string{"", "holds", "fails", "unproven"}[o] }

// A Verdict is what became of one assertion.
type Verdict struct {
	Assertion *Assertion
	Outcome   Outcome
	Why       string // of Unproven

	Number uint64        // what was counted; of time, how many stays were measured
	Length time.Duration // the figure of a summary, else the longest stay, or the shortest if it must be longer
	Bound  conn.Bound    // of Length

	Broken    uint64     // connections, stays or findings that speak against it
	Offenders []Offender // the worst of these, a few
}

// An Offender is what speaks against an assertion: one connection, one stay of
// it, one failed call, or one finding.
type Offender struct {
	ID      event.ID
	Local   netip.AddrPort
	Remote  netip.AddrPort
	Role    conn.Role
	Process conn.Owner

	State  tcp.State     // of a stay; Unknown else
	Length time.Duration // of what is measured
	Bound  conn.Bound
	Lasts  bool // it lasted when the trace ended

	Count uint64 // of what is counted
	Note  string // in a few of our own words: how it ended, say

	Finding *diagnose.Finding // then nothing else but Count is set
}

// maxOffenders bounds Verdict.Offenders.
const maxOffenders = 5

// Upward reports whether a requires times to be long, or numbers to be large.
func (a *Assertion) Upward() bool { return a.op == more || a.op == orMore }

// A Group is a titled part of the language's words.
type Group struct {
	Title string
	Words []Word
}

// A Word is one that an assertion may use.
type Word struct{ Name, Meaning string }

// Words lists what Parse knows, the states and the rules of "why" apart.
func Words() []Group {
	numbers, times, of := Group{Title: "Numbers"}, Group{Title: "Times"}, Group{Title: "Of many times"}
	for i := range figures {
		numbers.Words = append(numbers.Words, Word{figures[i].name, figures[i].meaning})
	}
	for i := range measures {
		if !measures[i].state.Valid() {
			times.Words = append(times.Words, Word{measures[i].name, measures[i].meaning})
		}
	}
	for i := range summaries {
		of.Words = append(of.Words, Word{summaries[i].name, summaries[i].meaning})
	}
	return []Group{numbers, times, of}
}

// NeedsFindings reports whether a counts findings.
func (a *Assertion) NeedsFindings() bool { return a.figure != nil && a.figure.finding != nil }

// NeedsCalls reports whether a counts what only shows if system calls are seen
// to fail.
func (a *Assertion) NeedsCalls() bool {
	return a.NeedsFindings() || a.figure != nil && (a.figure.name == "failed_connects" || a.figure.name == "failed_accepts")
}
