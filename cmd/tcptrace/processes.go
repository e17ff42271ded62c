package main

import (
	"context"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/snapshot"
)

// processes looks at those that run, for the findings about them. Where that
// cannot be done a finding says less.
type processes struct {
	reader *snapshot.Reader // opened when it is first needed
	tried  bool
}

// Descriptors hands over the descriptors that a process has of TCP sockets.
func (p *processes) Descriptors(pid uint32, each func(socket event.ID, fd uint32)) {
	if !p.tried {
		p.tried = true
		p.reader, _ = snapshot.Open()
	}
	if p.reader != nil {
		_ = p.reader.Descriptors(context.Background(), pid, each)
	}
}

// Close ends its use.
func (p *processes) Close() error {
	if p.reader == nil {
		return nil
	}
	return p.reader.Close()
}
