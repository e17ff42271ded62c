//go:build !linux

package main

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/screen"
)

type queueReader struct{}

func newQueueReader() *queueReader { return &queueReader{} }

func (*queueReader) read([]uint32) ([]screen.Queue, event.Time) { return nil, 0 }
func (*queueReader) close()                                     {}
