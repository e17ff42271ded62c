package report

import (
	"strconv"
	"strings"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
)

// lossTable lists what the kernel side could not hand over.
func (b *builder) lossTable() *table {
	t := &table{ID: "losses", Title: "Lost events", Columns: []column{
		{Name: "Kind", Head: true}, {Name: "Events", Class: number}, {Name: "From", Meaning: "UTC"}, {Name: "To", Meaning: "UTC"},
	}}
	for kind := event.Kind(0); kind < event.NumKinds; kind++ {
		if l := b.tally.lost[kind]; l != nil {
			t.Rows = append(t.Rows, row{Cells: []cell{words(kind.String()), figures(group(l.count)), codes(b.clock(l.from)), codes(b.clock(l.to))}})
		}
	}
	return t
}

// addLosses says what was not seen.
func (b *builder) addLosses() {
	p, s := b.page, &b.facts.Summary
	if len(b.tally.lost) > 0 {
		p.Losses = b.lossTable()
	} else {
		p.LossWords = append(p.LossWords, "The kernel side handed over every event.")
	}
	say := func(n uint64, one, many string) {
		if n == 1 {
			p.LossWords = append(p.LossWords, "1 "+one)
		} else if n > 1 {
			p.LossWords = append(p.LossWords, group(n)+" "+many)
		}
	}
	if s.Lost == 0 {
		say(s.Untold, "transition is missing though no event was lost: this kernel did not run the BPF programs then.",
			"transitions are missing though no event was lost: this kernel did not run the BPF programs then.")
	}
	say(s.Dropped, "connection was not followed to its end: there were too many at once.", "connections were not followed to their end: there were too many at once.")
	say(s.Unjudged, "connection was left out: too little became known of it to tell whether it was asked for.",
		"connections were left out: too little became known of them to tell whether they were asked for.")
	say(s.Overflown, "record was left out: too many waited for their process to become known.", "records were left out: too many waited for their process to become known.")
}

// maxNamespaces bounds the network namespaces whose sysctls are listed: those
// with most connections.
const maxNamespaces = 4

// addHost lists the sysctls in force and what the kernel allows.
func (b *builder) addHost() {
	if t := b.sysctlTable(); len(t.Rows) > 0 {
		b.page.HostTables = append(b.page.HostTables, t)
	}
	if len(b.facts.Capabilities) == 0 {
		return
	}
	t := table{ID: "capabilities", Title: "What this kernel allowed to see", Columns: []column{
		{Name: "What", Head: true}, {Name: "Grade", Meaning: "exact; bounded: true, but less is known; absent: not seen"},
		{Name: "By"}, {Name: "Not known"}, {Name: "Remedy"},
	}}
	for _, c := range b.facts.Capabilities {
		lost := safe(c.Lost)
		if c.Why != "" {
			lost += ": " + safe(c.Why)
		}
		t.Rows = append(t.Rows, row{Cells: []cell{words(safe(c.Name)), words(safe(c.Grade)), words(safe(c.Hook)), words(lost), words(safe(c.Remedy))}})
	}
	b.page.HostTables = append(b.page.HostTables, t)
}

// sysctlTable has a column for each network namespace.
func (b *builder) sysctlTable() table {
	t := table{ID: "sysctls", Title: "Sysctls in force", Columns: []column{{Name: "Sysctl", Head: true}}}
	if b.facts.Settings == nil {
		return t
	}
	spaces := b.tally.namespaces()
	if left := len(spaces) - maxNamespaces; left > 0 {
		t.Left = countOf(uint64(left), "more network namespace") + " left out, with fewer connections."
		spaces = spaces[:maxNamespaces]
	}
	known := spaces[:0:0]
	for _, netns := range spaces {
		for _, name := range diagnose.Sysctls() {
			if b.facts.Settings.Sysctl(netns, name) != "" {
				known = append(known, netns)
				t.Columns = append(t.Columns, column{Name: "netns " + strconv.FormatUint(uint64(netns), 10), Class: number})
				break
			}
		}
	}
	for _, name := range diagnose.Sysctls() {
		one, told := row{Cells: []cell{codes(name)}}, false
		for _, netns := range known {
			value := safe(strings.Join(strings.Fields(b.facts.Settings.Sysctl(netns, name)), " "))
			one.Cells = append(one.Cells, figures(value))
			told = told || value != ""
		}
		if told {
			t.Rows = append(t.Rows, one)
		}
	}
	return t
}
