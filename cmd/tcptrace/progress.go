package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progressEvery is how often the line is written again.
const progressEvery = 500 * time.Millisecond

// A progress is a line on a terminal that says how a recording goes.
type progress struct {
	out io.Writer
	due time.Time
}

// newProgress returns nil where out is no terminal.
func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &progress{out: out}
}

func (p *progress) show(c *capture) {
	now := time.Now()
	if now.Before(p.due) {
		return
	}
	p.due = now.Add(progressEvery)
	fmt.Fprintf(p.out, "\r%s%s", c.figures(), clearLine)
}

func (p *progress) clear() { fmt.Fprint(p.out, "\r"+clearLine) }

// figures says how much was recorded: "12s, 48122 events, 1.2 MB".
func (c *capture) figures() string {
	text := fmt.Sprintf("%v, %d events", c.at.Sub(c.began).Round(time.Second), c.events)
	bytes, files := c.recorder.Written()
	if !c.recorder.Released() {
		return text + fmt.Sprintf(", waiting for a finding with the last %v in memory", c.recorder.Held().Round(time.Second))
	}
	text += ", " + inBytes(bytes)
	if files > 1 {
		text += fmt.Sprintf(" in %d files", files)
	}
	if c.lost > 0 {
		text += fmt.Sprintf(", %d events lost", c.lost)
	}
	return text
}

// inBytes writes a size as people read it, in powers of 1,000.
func inBytes(n uint64) string {
	switch {
	case n < 1_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
