package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
)

// watchReader returns a context that ends, with errNoReader, when out is a pipe or a
// socket whose other end is closed: we then stop even while there is nothing
// to write.
func watchReader(ctx context.Context, out io.Writer) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	f, ok := out.(*os.File)
	if !ok {
		return ctx, cancel
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return ctx, cancel
	}
	go func() {
		fds := []unix.PollFd{{Fd: int32(f.Fd())}} // no events: errors are always reported
		for {
			n, err := unix.Poll(fds, -1)
			if n > 0 {
				cancel(errNoReader)
				return
			}
			if err != unix.EINTR {
				return
			}
		}
	}()
	return ctx, cancel
}

// monotonic reads the clock of the kernel's events.
func monotonic() event.Time { return probe.Now() }
