package report

import (
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A builder makes one page.
type builder struct {
	*Collector
	facts    *Facts
	page     *Page
	findings []diagnose.Finding
	chosen   []choice
	rows     map[event.ID]int // of the table of connections, for those that findings name
}

// Page lays out what has been collected. It may be called once, after the end of
// the trace.
func (c *Collector) Page(facts Facts) *Page {
	facts.Limits.fill()
	b := &builder{Collector: c, facts: &facts, page: &Page{Prefix: facts.Prefix}, rows: map[event.ID]int{}}
	if c.engine != nil {
		b.page.HasFindings = true
		b.findings = c.engine.Findings()
		for i := range b.findings {
			if c.explain != nil {
				c.explain(&b.findings[i])
			}
		}
	}
	all := c.connections()
	b.chosen = pick(all, b.findings, c.last, facts.Limits.Connections)
	connections := b.connectionTable() // which has no room for more, perhaps
	b.chosen = b.chosen[:len(connections.Rows)]
	for i := range b.chosen {
		if r := &b.chosen[i]; r.why == found {
			if _, known := b.rows[r.ID]; !known {
				b.rows[r.ID] = i
			}
		}
	}
	b.head()
	b.words()
	b.addFindings()
	b.addStates()
	b.addBars()
	b.page.Tables = []table{connections, b.processTable(), b.peerTable(), b.resetTable(), b.retransmitTable()}
	b.addHost()
	b.addLosses()
	b.page.Left = append(b.page.Left, facts.Notes...)
	b.page.Footer = safe(facts.Version)
	for i := range b.page.Tables {
		t := &b.page.Tables[i]
		t.ID, t.Kind = facts.Prefix+t.ID, t.ID
	}
	return b.page
}

func (b *builder) wall(t event.Time) time.Time { return b.facts.Clock.Wall(t) }

// clock spells a moment of the trace, without its day.
func (b *builder) clock(t event.Time) string { return b.wall(t).Format("15:04:05.000") }

func (b *builder) head() {
	p, f := b.page, b.facts
	host := safe(f.Host)
	from, to := b.wall(b.begin), b.wall(b.last)
	p.Title, p.Host = "tcptrace report", host
	if host != "" {
		p.Title = host + ": " + p.Title
	}
	p.Title += ", " + from.Format("2006-01-02 15:04") + " UTC"
	until := to.Format("15:04:05")
	if from.YearDay() != to.YearDay() || from.Year() != to.Year() {
		until = to.Format("2006-01-02 15:04:05")
	}
	add := func(name, value string) {
		if value != "" {
			p.Facts = append(p.Facts, fact{name, value})
		}
	}
	add("Time", from.Format("2006-01-02 15:04:05")+" to "+until+" UTC, "+lasting(b.Lasted()))
	add("Kernel", safe(f.Kernel))
	add("Source", safe(f.Source))
	add("Command", safe(f.Command))
}

// words writes the summary.
func (b *builder) words() {
	p, t := b.page, &b.tally
	p.Verdict, p.Level = verdict(b.findings)
	if !p.HasFindings {
		p.Verdict, p.Level = countOf(t.total.connections, "connection"), "ok"
	}
	parties := uint64(len(t.processes))
	if t.processes[0] != nil {
		parties--
	}
	sentence := "In " + lasting(b.Lasted()) + ", " + countOf(t.total.connections, "connection")
	if parties > 0 {
		sentence += " of " + countOf(parties, "process")
	}
	sentence += " were seen"
	if t.total.connections == 1 {
		sentence = strings.TrimSuffix(sentence, "were seen") + "was seen"
	}
	if t.total.open > 0 {
		sentence += "; " + group(t.total.open) + " of them were still open at the end"
	}
	p.Words = append(p.Words, sentence+".")
	var ends []string
	for _, e := range endWords {
		if n := t.ends[e.end]; n > 0 {
			ends = append(ends, group(n)+" "+singular(n, e.words))
		}
	}
	if len(ends) > 0 {
		p.Words = append(p.Words, "Of those that ended, "+list(ends)+".")
	}
	b.lossWords()
	b.figures()
}

// singular fits words that begin with "were" to a number.
func singular(n uint64, words string) string {
	if rest, ok := strings.CutPrefix(words, "were "); ok && n == 1 {
		return "was " + rest
	}
	return words
}

func (b *builder) lossWords() {
	p := b.page
	retransmits, lasted := b.tally.total.resegments, time.Duration(0)
	affected := uint64(0)
	for _, r := range b.connections() {
		if r.Episodes > 0 {
			affected++
			lasted += r.EpisodeTime
		}
	}
	if retransmits > 0 {
		words := countOf(retransmits, "segment") + " " + map[bool]string{true: "was", false: "were"}[retransmits == 1] + " sent again"
		if lasted > 0 {
			words += "; waiting for what was lost cost " + countOf(affected, "connection") + " " + lasting(lasted) + " in all"
		}
		p.Words = append(p.Words, words+".")
	}
	lost := uint64(0)
	for _, l := range b.tally.lost {
		lost += l.count
	}
	if lost > 0 {
		p.Words = append(p.Words, countOf(lost, "event")+" could not be handed over by the kernel side, so counts may be too low: see “What was not seen”.")
	} else {
		p.Words = append(p.Words, "No event was lost.")
	}
}

func (b *builder) figures() {
	t := &b.tally
	add := func(n uint64, name, note, class string) {
		if n == 0 {
			class = ""
		}
		b.page.Figures = append(b.page.Figures, figure{group(n), name, note, class})
	}
	rate := ""
	if s := b.Lasted().Seconds(); s > 0 {
		rate = string(appendNumber(nil, float64(t.total.connections)/s, 1)) + " a second"
	}
	var sent, got, lost uint64
	for _, n := range t.causes[1] {
		sent += n
	}
	for _, n := range t.causes[0] {
		got += n
	}
	for _, l := range t.lost {
		lost += l.count
	}
	add(t.total.connections, "connections", rate, "")
	add(t.total.open, "open at the end", "", "")
	add(t.total.failed, "ended otherwise than by two FINs", share(t.total.failed, t.total.connections-t.total.open), "warning")
	add(sent+t.more, "resets sent", "", "warning")
	add(got, "resets received", "", "warning")
	add(t.total.resegments, "segments sent again", "", "warning")
	add(lost, "events lost", "", "critical")
}

// share spells n of all as a percentage.
func share(n, all uint64) string {
	if n == 0 || all == 0 {
		return ""
	}
	return string(appendNumber(nil, float64(n)/float64(all)*100, 1)) + " % of those that ended"
}

func (b *builder) addStates() {
	series := b.history.Series(b.last, panelPoints)
	if b.tally.total.connections > 0 || len(b.connections()) > 0 || series.Most != (series.At[0]) || series.Most[tcp.Listen] > 0 {
		b.page.Panels = panels(series, b.Lasted())
	}
	data := seriesData{
		Begin: b.wall(b.begin).Format(time.RFC3339Nano), Length: float64(b.Lasted()) / float64(time.Millisecond),
		Every: float64(series.Every) / float64(time.Millisecond), Counts: map[string][]int{},
	}
	for _, p := range b.page.Panels {
		state, err := tcp.ParseState(p.State)
		if err != nil {
			continue
		}
		counts := make([]int, len(series.Peaks))
		for i := range series.Peaks {
			counts[i] = series.Peaks[i][state]
		}
		data.Counts[p.State] = counts
	}
	b.page.Series = data
	b.page.PanelsFrom = b.wall(b.begin).Format("15:04:05") + " UTC"
}

func (b *builder) addFindings() {
	room := b.facts.Limits.budget(findingBytes)
	for i := range b.findings {
		f := b.finding(&b.findings[i])
		if i == b.facts.Limits.Findings || !room.take(f.bytes()) {
			b.page.FindingsLeft = countOf(uint64(len(b.findings)-i), "finding") + " of lower rank left out."
			b.page.Left = append(b.page.Left, b.page.FindingsLeft)
			break
		}
		b.page.Findings = append(b.page.Findings, f)
	}
}

func (b *builder) finding(f *diagnose.Finding) finding {
	out := finding{
		ID: "f" + string(appendNumber(nil, float64(len(b.page.Findings)+1), 0)), Level: f.Severity.String(), Rule: f.Rule.Name,
		Short: f.Rule.Short, Process: process(&f.Process.Task), More: safe(f.More),
	}
	add := func(name, value string) {
		if value != "" {
			out.Lines = append(out.Lines, fact{name, value})
		}
	}
	add("What", safe(f.Summary))
	add("Why", safe(f.Cause))
	add("Where", where(&f.Process.Task))
	add("Other end", process(&f.Peer.Task))
	add("Done by", process(&f.Actor.Task))
	if f.First != 0 {
		when := b.clock(f.First)
		if f.Last > f.First {
			when += " to " + b.clock(f.Last)
		}
		add("When", when+" UTC")
	}
	add("Do", safe(f.Advice))
	add("Cost", safe(f.Cost))
	terms := map[string]string{}
	for _, t := range f.Rule.Evidence {
		terms[t.Name] = t.Meaning
	}
	for i := range f.Evidence {
		e := &f.Evidence[i]
		out.Evidence = append(out.Evidence, evidence{e.Name, value(e), terms[e.Name]})
	}
	for _, id := range f.Conns {
		l := link{Text: cookie(id)}
		if row, ok := b.rows[id]; ok {
			l.To = rowID(row) // behind the prefix
		}
		out.Conns = append(out.Conns, l)
	}
	if n := uint64(len(f.Conns)); n > 0 && n < f.Count {
		out.Count = "the first " + group(n) + " of " + group(f.Count)
	}
	return out
}

func rowID(row int) string { return "c" + string(appendNumber(nil, float64(row), 0)) }
