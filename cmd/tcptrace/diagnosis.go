package main

import (
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/sysctl"
)

// A diagnosis makes the engines that find what is wrong, and holds what they may
// ask.
type diagnosis struct {
	settings *sysctl.Reader // nil where there is none
	look     processes
}

func newDiagnosis() *diagnosis {
	d := &diagnosis{}
	if settings, err := sysctl.NewReader(diagnose.Sysctls()); err == nil {
		d.settings = settings
	}
	return d
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
	return diagnose.New(options)
}

func (d *diagnosis) close() {
	if d.settings != nil {
		_ = d.settings.Close() // nothing was written
	}
	_ = d.look.Close()
}
