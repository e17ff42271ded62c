//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
)

// A tracer is a subject that runs.
type tracer struct {
	cmd    *exec.Cmd
	said   strings.Builder // on standard error
	ready  chan struct{}   // closed when it has said "tracing"
	ended  chan struct{}   // closed when standard error is
	before map[ebpf.ProgramID]bool
}

// startup bounds how long a tracer may take until it traces. bpftrace compiles.
const startup = 30 * time.Second

// errDoesNotRun says that a tracer does not work on this host.
var errDoesNotRun = errors.New("does not run here")

// start runs the subject, its output going to a file, and returns when it
// traces.
func start(ctx context.Context, s *subject, dir string) (*tracer, error) {
	t := &tracer{ready: make(chan struct{}), ended: make(chan struct{})}
	var err error
	if t.before, err = programs(); err != nil {
		return nil, err
	}
	if s.argv == nil {
		return t, nil
	}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	t.cmd = exec.CommandContext(ctx, s.argv[0], s.argv[1:]...)
	t.cmd.Stdout = out
	t.cmd.Cancel = func() error { return t.cmd.Process.Signal(syscall.SIGINT) }
	stderr, err := t.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	go t.listen(stderr)
	if s.ours {
		err = t.awaitWord(ctx)
	} else {
		err = t.awaitPrograms(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, t.stop())
	}
	return t, nil
}

func (t *tracer) listen(stderr io.Reader) {
	defer close(t.ended)
	ready := false
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		fmt.Fprintln(&t.said, lines.Text())
		if !ready && strings.HasPrefix(lines.Text(), "tracing") {
			ready = true
			close(t.ready)
		}
	}
}

// awaitWord waits until the tracer says that it traces.
func (t *tracer) awaitWord(ctx context.Context) error {
	select {
	case <-t.ready:
		return nil
	case <-t.ended:
		return fmt.Errorf("%w: %s", errDoesNotRun, firstLine(t.said.String()))
	case <-time.After(startup):
		return fmt.Errorf("%w: nothing after %v", errDoesNotRun, startup)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitPrograms waits until the kernel has new BPF programs and gets no more,
// which a tracer that says nothing is known by.
func (t *tracer) awaitPrograms(ctx context.Context) error {
	const steady = 500 * time.Millisecond
	count, since := 0, time.Now()
	for deadline := time.Now().Add(startup); time.Now().Before(deadline); {
		select {
		case <-t.ended:
			return fmt.Errorf("%w: %s", errDoesNotRun, lastLine(t.said.String()))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		now, err := t.programs()
		if err != nil {
			return err
		}
		if len(now) != count {
			count, since = len(now), time.Now()
		}
		if count > 0 && time.Since(since) > steady {
			return nil
		}
	}
	return fmt.Errorf("%w: no BPF program after %v", errDoesNotRun, startup)
}

// stop ends the tracer as Ctrl-C does, and returns when it has ended.
func (t *tracer) stop() error {
	if t.cmd == nil {
		return nil
	}
	_ = t.cmd.Process.Signal(syscall.SIGINT) // it may have ended
	kill := time.AfterFunc(time.Minute, func() { _ = t.cmd.Process.Kill() })
	defer kill.Stop()
	<-t.ended
	err := t.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) { // peers end by the signal
		return nil
	}
	return err
}

// programs returns the IDs of all BPF programs of the kernel.
func programs() (map[ebpf.ProgramID]bool, error) {
	found := map[ebpf.ProgramID]bool{}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list BPF programs: %w", err)
		}
		id = next
		found[id] = true
	}
}

// programs returns those that were loaded since the tracer was started.
func (t *tracer) programs() ([]ebpf.ProgramID, error) {
	all, err := programs()
	if err != nil {
		return nil, err
	}
	var mine []ebpf.ProgramID
	for id := range all {
		if !t.before[id] {
			mine = append(mine, id)
		}
	}
	return mine, nil
}

var lostEvents = regexp.MustCompile(`(?m)^tcptrace: (\d+) (?:events were lost|transitions are missing)`)

// lost returns how many events the tracer says it did not see.
func (t *tracer) lost() (count int) {
	for _, m := range lostEvents.FindAllStringSubmatch(t.said.String(), -1) {
		n, _ := strconv.Atoi(m[1]) // digits
		count += n
	}
	return count
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// lastLine is where a peer says why it gives up, behind its warnings.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}
