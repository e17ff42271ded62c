package main

import (
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/symbol"
	"github.com/tcptrace/tcptrace/internal/sysctl"
)

// A diagnosis makes the engines that find what is wrong, and holds what they may
// ask.
type diagnosis struct {
	settings *sysctl.Reader // nil where there is none
	look     processes
	stacks   *stackNamer // nil where they are not asked for
}

// newDiagnosis prepares for what l is about to trace, or to read.
func newDiagnosis(l *live, stacks bool) (*diagnosis, error) {
	d := &diagnosis{}
	if stacks {
		if len(l.from) > 0 {
			return nil, usagef("--stacks looks at processes that run, and --from reads a recording; leave one of them out")
		}
		l.probe.Stacks, l.probe.ExactAccept = true, true
		d.stacks = &stackNamer{names: symbol.NewResolver()}
	}
	if settings, err := sysctl.NewReader(diagnose.Sysctls()); err == nil {
		d.settings = settings
	}
	return d, nil
}

// attach tells what is traced, before anything is read.
func (d *diagnosis) attach(source *probe.Source) {
	if d.stacks != nil {
		d.stacks.source = source
	}
}

// engine makes one for a sink that l is about to run.
func (d *diagnosis) engine(l *live) *diagnose.Engine {
	options := diagnose.Options{Processes: &d.look}
	if d.settings != nil {
		options.Settings = d.settings
	}
	switch {
	case l.playing != nil:
		options = diagnose.Options{Settings: l.playing, Processes: l.playing}
	case l.capture != nil: // which keeps what it answers
		options = diagnose.Options{Settings: l.capture.survey, Processes: l.capture.survey}
	}
	if d.stacks != nil {
		options.Stacks = d.stacks
	}
	return diagnose.New(options)
}

func (d *diagnosis) close() {
	if d.settings != nil {
		_ = d.settings.Close() // nothing was written
	}
	_ = d.look.Close()
}
