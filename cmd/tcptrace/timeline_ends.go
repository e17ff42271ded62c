package main

import (
	"io"

	"github.com/tcptrace/tcptrace/internal/render"
)

// drawEnds draws the connections that recorded hosts have in common, both ends
// one above the other.
func (t *timelineCommand) drawEnds(out io.Writer) error {
	if t.joined == nil || t.format == "json" {
		return nil
	}
	text := render.Timeline{Options: render.Options{Color: t.colored(out)}, Width: outputWidth(out), ASCII: t.ascii || !utf8Locale()}
	network := t.joined.network
	for i := range network.Links {
		rows := int(min(t.rows, 1<<30))
		if _, err := out.Write(text.AppendEnds(nil, network, &network.Links[i], max(1, rows/2))); err != nil {
			return err
		}
	}
	return nil
}
