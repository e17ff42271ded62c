package report

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Classes of cells.
const (
	number = "n" // to the right
	code   = "m" // addresses and the like
)

func words(text string) cell   { return cell{Text: text} }
func figures(text string) cell { return cell{text, number} }
func codes(text string) cell   { return cell{text, code} }

// connectionTable lists what was chosen.
func (b *builder) connectionTable() table {
	t := table{
		ID: "connections", Title: "Connections", Empty: "No connection was seen.",
		Note: "Most worth seeing first: those that findings name; those that did not end by two FINs; those that stayed long in a state" +
			" that TCP only passes through; those with something sent again; the longest.",
		Columns: []column{
			{Name: "Began", Meaning: "UTC; when it was first known of, where its begin was not seen"},
			{Name: "Process"}, {Name: "Role"}, {Name: "Local"}, {Name: "Remote", Head: true},
			{Name: "Life", Class: number, Meaning: "from the first SYN to the end of TIME_WAIT; ≥ where its begin was not seen"},
			{Name: "End"},
			{Name: "States", Meaning: "in order, and for how long each"},
			{Name: "Sent again", Meaning: "segments, by why they were"},
			{Name: "Bytes out", Class: number}, {Name: "Bytes in", Class: number},
			{Name: "sk", Meaning: "the socket's cookie, as ss -e prints it"},
		},
	}
	room := b.facts.Limits.budget(connectionBytes)
	for i := range b.chosen {
		r := &b.chosen[i]
		c := &r.Connection.Connection
		sent, got := "", ""
		if c.HasCounters {
			sent, got = bytesOf(c.Counters.BytesSent), bytesOf(c.Counters.BytesReceived)
		}
		end := outcome(c)
		if cause := c.ResetCause.String(); cause != "" && c.Closed != 0 && c.End != conn.EndRefused {
			end += ": " + cause
		} else if err := c.Err.String(); err != "" {
			end += ": " + err
		}
		one := row{ID: b.facts.Prefix + rowID(i), Cells: []cell{
			codes(b.clock(c.Opened)), words(process(&c.Owner.Task)), words(c.Role.String()), codes(endpoint(c.Local)), codes(endpoint(c.Remote)),
			figures(b.life(r)), words(end), words(b.statesOf(r)), words(again(&c.Retransmits)), figures(sent), figures(got), codes(cookie(c.ID)),
		}}
		if !room.take(one.bytes()) {
			break
		}
		t.Rows = append(t.Rows, one)
	}
	if all := b.tally.total.connections; all > uint64(len(t.Rows)) {
		t.Left = group(uint64(len(t.Rows))) + " of " + countOf(all, "connection") + " are listed here: there is no room for the others on one page." +
			" The figures above count all of them."
		b.page.Left = append(b.page.Left, "The table of connections and the timelines show "+group(uint64(len(t.Rows)))+" of "+countOf(all, "connection")+".")
	}
	return t
}

// statesOf lists the states of a connection, with how long each lasted.
func (b *builder) statesOf(r *choice) string {
	var parts []string
	if r.SpansCut > 0 {
		parts = append(parts, "…")
	}
	until := r.Until(b.last)
	for i := range r.Spans {
		s := &r.Spans[i]
		if s.State.Valid() && s.State != tcp.Close {
			parts = append(parts, s.State.String()+" "+bounded(stayed(s, until), s.Bound()))
		}
	}
	return strings.Join(parts, ", ")
}

// again lists what was sent again, by class.
func again(n *[conn.NumClasses]uint32) string {
	var parts []string
	for class, segments := range n {
		if segments > 0 {
			parts = append(parts, group(uint64(segments))+" "+conn.Class(class).String())
		}
	}
	return strings.Join(parts, ", ")
}

var partyColumns = []column{
	{Name: "Connections", Class: number}, {Name: "Open", Class: number, Meaning: "at the end of the trace"},
	{Name: "As client", Class: number}, {Name: "As server", Class: number},
	{Name: "Failed", Class: number, Meaning: "ended otherwise than by two FINs"},
	{Name: "Reset by us", Class: number}, {Name: "Reset by peer", Class: number, Meaning: "refused ones too"},
	{Name: "Sent again", Class: number, Meaning: "segments"},
	{Name: "Bytes out", Class: number}, {Name: "Bytes in", Class: number},
	{Name: "Longest RTT", Class: number, Meaning: "the largest smoothed round-trip time at a connection's end"},
}

func (p *party) cells() []cell {
	rtt, sent, got := "", "", ""
	if p.rtt > 0 {
		rtt = lasting(time.Duration(p.rtt) * time.Microsecond)
	}
	if p.bytesSent > 0 {
		sent = bytesOf(p.bytesSent)
	}
	if p.bytesGot > 0 {
		got = bytesOf(p.bytesGot)
	}
	return []cell{
		figures(group(p.connections)), figures(orNothing(p.open)), figures(orNothing(p.clients)), figures(orNothing(p.servers)),
		figures(orNothing(p.failed)), figures(orNothing(p.resetsSent)), figures(orNothing(p.resetsGot)), figures(orNothing(p.resegments)),
		figures(sent), figures(got), figures(rtt),
	}
}

// parties fills a table with parties, those with most connections first.
func (b *builder) parties(t *table, all []*party, others *party, name func(*party) []cell) {
	t.Columns = append(t.Columns, partyColumns...)
	room := b.facts.Limits.budget(tableBytes)
	for i, p := range all {
		one := row{Cells: append(name(p), p.cells()...)}
		if i == b.facts.Limits.Rows || !room.take(one.bytes()) {
			t.Left = group(uint64(len(all)-i)) + " more are left out, those with fewest connections."
			b.page.Left = append(b.page.Left, t.Title+": "+t.Left)
			break
		}
		t.Rows = append(t.Rows, one)
	}
	if others.connections > 0 {
		t.Left = strings.TrimSpace(t.Left + " " + countOf(others.connections, "connection") + " of others: there were too many to count each.")
	}
}

func (b *builder) processTable() table {
	t := table{ID: "processes", Title: "Processes", Empty: "No connection was seen.", Columns: []column{
		{Name: "Process", Head: true}, {Name: "Where", Meaning: "container, systemd unit or cgroup"},
	}}
	b.parties(&t, sortedParties(b.tally.processes), &b.tally.otherProcesses, func(p *party) []cell {
		name := process(&p.owner.Task)
		if name == "" {
			name = "not known"
		}
		return []cell{words(name), words(where(&p.owner.Task))}
	})
	return t
}

func (b *builder) peerTable() table {
	t := table{ID: "peers", Title: "Remote peers", Empty: "No connection was seen.", Columns: []column{
		{Name: "Address", Head: true}, {Name: "Ports of theirs", Meaning: "that we connected to"},
	}}
	b.parties(&t, sortedParties(b.tally.peers), &b.tally.otherPeers, func(p *party) []cell {
		return []cell{codes(address(p.peer)), codes(portsOf(p))}
	})
	return t
}

func portsOf(p *party) string {
	var ports []uint16
	for port := range p.services {
		ports = append(ports, port)
	}
	slices.Sort(ports)
	var parts []string
	for _, port := range ports {
		parts = append(parts, strconv.Itoa(int(port)))
	}
	if len(ports) == maxServices {
		parts = append(parts, "…")
	}
	return strings.Join(parts, ", ")
}

func (b *builder) resetTable() table {
	t := table{
		ID: "resets", Title: "Resets", Empty: "No RST was sent or received.", Note: b.causes(),
		Columns: []column{
			{Name: "Time", Meaning: "UTC"}, {Name: "Direction"},
			{Name: "Cause", Head: true, Meaning: "why it was sent; (?) where that is inferred"},
			{Name: "Kernel's reason", Meaning: "from Linux 6.10"},
			{Name: "In state"}, {Name: "Process"}, {Name: "Local"}, {Name: "Remote"},
			{Name: "Other end", Meaning: "its process, where that is on this host"}, {Name: "sk"},
		},
	}
	all, room := b.resets.all(), b.facts.Limits.budget(tableBytes)
	for i := range all {
		r := &all[i]
		direction, cause, state := "received", r.told.Cause.String(), ""
		if r.sent {
			direction = "sent"
		}
		if r.told.Inferred {
			cause += " (?)"
		}
		if r.state.Valid() {
			state = r.state.String()
		}
		one := row{Cells: []cell{
			codes(b.clock(r.time)), words(direction), words(cause), words(safe(r.reason)), words(state), words(process(&r.owner.Task)),
			codes(endpoint(r.local)), codes(endpoint(r.remote)), words(process(&r.told.PeerOwner.Task)), codes(cookie(r.id)),
		}}
		if i == b.facts.Limits.Rows || !room.take(one.bytes()) {
			break
		}
		t.Rows = append(t.Rows, one)
	}
	if all := b.resets.count + b.tally.more; all > uint64(len(t.Rows)) {
		t.Left = group(uint64(len(t.Rows))) + " of " + countOf(all, "reset") + " are listed here."
		b.page.Left = append(b.page.Left, "Resets: "+t.Left)
	}
	return t
}

// causes counts the resets by cause.
func (b *builder) causes() string {
	var sentences []string
	for i, direction := range []string{"Received: ", "Sent: "} {
		var parts []string
		for cause := conn.ResetCauseUnknown; cause <= conn.ResetFirewall; cause++ {
			if n := b.tally.causes[i][cause]; n > 0 {
				parts = append(parts, group(n)+" "+cause.String())
			}
		}
		if len(parts) > 0 {
			sentences = append(sentences, direction+list(parts)+".")
		}
	}
	return strings.Join(sentences, " ")
}

func (b *builder) retransmitTable() table {
	t := table{
		ID: "retransmits", Title: "Retransmits", Empty: "Nothing was sent again.",
		Note: "The connections that sent most again come first. An episode lasts from the first sign of a loss until all that was sent again is acknowledged.",
		Columns: []column{
			{Name: "Process"}, {Name: "Local"}, {Name: "Remote", Head: true},
			{Name: "Segments", Class: number}, {Name: "By class", Meaning: "rto: a timeout; tlp: a tail loss probe; syn, synack, fin: no answer to it"},
			{Name: "Episodes", Class: number}, {Name: "Needless", Class: number, Meaning: "episodes in which the peer had had everything already"},
			{Name: "Time lost", Class: number}, {Name: "RTT", Class: number}, {Name: "End"}, {Name: "sk"},
		},
	}
	type lossy struct {
		c        *conn.Connection
		segments uint64
	}
	var all []lossy
	for _, r := range b.connections() {
		segments := uint64(0)
		for _, n := range r.Retransmits {
			segments += uint64(n)
		}
		if segments > 0 {
			all = append(all, lossy{&r.Connection, segments})
		}
	}
	slices.SortStableFunc(all, func(a, b lossy) int { return int(int64(b.segments) - int64(a.segments)) })
	room := b.facts.Limits.budget(tableBytes)
	for i, l := range all {
		one := row{Cells: lossyCells(l.c, l.segments)}
		if i == b.facts.Limits.Rows || !room.take(one.bytes()) {
			t.Left = group(uint64(len(all)-i)) + " more connections sent something again."
			b.page.Left = append(b.page.Left, "Retransmits: "+t.Left)
			break
		}
		t.Rows = append(t.Rows, one)
	}
	return t
}

func lossyCells(c *conn.Connection, segments uint64) []cell {
	cost, rtt := "", ""
	if c.EpisodeTime > 0 {
		bound := conn.Exact
		if c.EpisodeTimeAtLeast {
			bound = conn.AtLeast
		}
		cost = bounded(c.EpisodeTime, bound)
	}
	if c.Counters.SRTTus > 0 {
		rtt = lasting(time.Duration(c.Counters.SRTTus) * time.Microsecond)
	}
	return []cell{
		words(process(&c.Owner.Task)), codes(endpoint(c.Local)), codes(endpoint(c.Remote)), figures(group(segments)), words(again(&c.Retransmits)),
		figures(orNothing(uint64(c.Episodes))), figures(orNothing(uint64(c.SpuriousEpisodes))), figures(cost), figures(rtt), words(outcome(c)), codes(cookie(c.ID)),
	}
}
