package screen

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Command returns the command line that shows what is shown, begun anew.
func (d *Display) Command() string {
	var args []string
	typed := []string{}
	if f := d.query.Filter; f != nil {
		typed = strings.Fields(f.Text)
	}
	focus := d.focusFlags()
	args = append(args, without(d.options.Args, append(slices.Clone(typed), focus...))...)
	args = append(args, without(typed, focus)...)
	args = append(args, focus...)
	tab := d.query.Tab
	if k := d.query.Focus.Kind; k == OnGroup || k == OnConnection {
		tab = Connections
	}
	args = append(args, "--view", tab.String())
	if k := d.query.Focus.Kind; (k == OnList || k == OnGroup) && d.query.Sort != "" && d.query.Sort != Sorts(tab)[0] {
		args = append(args, "--sort", d.query.Sort)
	}
	if d.query.Reverse {
		args = append(args, "--reverse")
	}
	line := "tcptrace watch"
	for _, a := range args {
		line += " " + quote(a)
	}
	return line
}

// focusFlags select what the user looks at more closely, as far as flags can.
func (d *Display) focusFlags() []string {
	port := func(name string, n uint16) []string {
		if n == 0 {
			return nil
		}
		return []string{name, strconv.Itoa(int(n))}
	}
	switch f := d.query.Focus; f.Kind {
	case OnTimeline, OnGroup:
		k := f.Group.key
		switch {
		case f.Group.Tab == Processes && k.pid != 0:
			return []string{"--pid", strconv.FormatUint(uint64(k.pid), 10)}
		case f.Group.Tab == Peers && k.at.Addr().IsValid():
			return append([]string{"--net", k.at.Addr().String()}, port("--rport", k.at.Port())...)
		case f.Group.Tab == Listeners:
			return port("--lport", k.at.Port())
		}
	case OnConnection:
		if d.view == nil || d.view.Connection == nil {
			return nil
		}
		c := d.view.Connection
		return append(append(netFlag(c.Remote.Addr()), port("--lport", c.Local.Port())...), port("--rport", c.Remote.Port())...)
	case OnTrouble:
		return append(netFlag(f.Trouble.Remote), port("--port", f.Trouble.Service)...)
	case OnFinding:
		if d.view != nil && d.view.Finding != nil && d.view.Finding.Process.Known() {
			return []string{"--pid", strconv.FormatUint(uint64(d.view.Finding.Process.Task.PID), 10)}
		}
	}
	return nil
}

func netFlag(a netip.Addr) []string {
	if !a.IsValid() {
		return nil
	}
	return []string{"--net", a.Unmap().String()}
}

// without leaves out the flags that are given again, as those narrow it down
// further: lists of one flag would add up.
func without(args, again []string) (kept []string) {
	given := func(arg string) bool {
		name, _, _ := strings.Cut(arg, "=")
		for _, a := range again {
			other, _, _ := strings.Cut(a, "=")
			if strings.HasPrefix(other, "-") && other == name {
				return true
			}
		}
		return false
	}
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") || !given(args[i]) {
			kept = append(kept, args[i])
			continue
		}
		if !strings.Contains(args[i], "=") && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
		}
	}
	return kept
}

// quote spells an argument so that a shell reads it as one.
func quote(arg string) string {
	if arg != "" && strings.Trim(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:,@+") == "" {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
