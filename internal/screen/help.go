package screen

// helpLines explain the screen. They fit into 40 columns where the screen is
// narrow, since they are wrapped.
var helpLines = []struct{ key, what string }{
	{"1-7, Tab", "findings, connections, processes, remote peers, resets, retransmits, listeners"},
	{"Up Down k j", "move; PgUp PgDn Home End too"},
	{"Enter", "look closer: a finding's evidence, a process against time, the connections of a peer or a listener, one connection's life"},
	{"Esc", "back"},
	{"/", "select connections by flags as on the command line: --port 443 --comm nginx --net 10.0.0.0/8 --state CLOSE_WAIT. Empty selects all. All figures are then theirs"},
	{"s S", "another order of the rows; the same order reversed"},
	{"p", "stop the picture, not the counting"},
	{"w", "begin, or end, a recording for --from, in the working directory"},
	{"y", "the command line that shows this again"},
	{"q", "quit; so does Ctrl-C"},
	{"", ""},
	{"states", "sockets in each state now; the change since a minute ago; the most at one time in each of the last 60 seconds. CLOSE: how many ended in the last second"},
	{"cpu mem bpf", "what tcptrace itself takes: of a core, of memory, of its BPF programs per event, measured for some seconds of each minute"},
	{"LOST", "events that there was no room for: counts may be too low"},
	{">=", "at least so long: it was there before the trace"},
}

func (d *Display) helpText() []string {
	lines := []string{paint(bold, "tcptrace watch: keys"), ""}
	for _, h := range helpLines {
		if h.key == "" {
			lines = append(lines, "")
			continue
		}
		lines = append(lines, helpEntry(h.key, h.what, d.width)...)
	}
	room := d.height - 1
	d.helpTop = max(0, min(d.helpTop, len(lines)-room))
	lines = lines[d.helpTop:min(d.helpTop+room, len(lines))]
	for len(lines) < room {
		lines = append(lines, "")
	}
	return append(lines, paint(faint, cut("any key goes back; Up and Down move", d.width)))
}

func helpEntry(key, what string, width int) []string {
	const indent = 13
	lines := wrap(what, max(width-indent, 10), 0)
	for i := range lines {
		head := ""
		if i == 0 {
			head = key
		}
		lines[i] = paint(bold, fit(head, indent)) + lines[i]
	}
	return lines
}
