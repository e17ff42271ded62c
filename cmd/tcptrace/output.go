package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// output holds the flags that say how records look.
type output struct {
	format string // text or json
	color  string // auto, always or never
}

func (o *output) flags() *pflag.FlagSet {
	o.format, o.color = "text", "auto"
	fs := newFlagSet()
	fs.VarP(word{&o.format, []string{"text", "json"}}, "output", "o", "`FORMAT`: text for people, or json for programs, one object a line")
	fs.Var(word{&o.color, []string{"auto", "always", "never"}}, "color", "`WHEN` to use colours: auto (on a terminal, unless NO_COLOR is set), always, never")
	return fs
}

func (o *output) complete(cmd *cobra.Command) {
	completeWords(cmd, "output", "text", "json")
	completeWords(cmd, "color", "auto", "always", "never")
}

// colored reports whether what goes to out is to be coloured.
func (o *output) colored(out io.Writer) bool {
	switch o.color {
	case "always":
		return true
	case "never":
		return false
	}
	if w, ok := out.(*hostWriter); ok {
		out = w.hosts.under
	}
	f, ok := out.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}
