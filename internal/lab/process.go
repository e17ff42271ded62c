//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// A process is an actor as its story sees it: with the actors that it started,
// whose reports come over the same pipe.
type process struct {
	part   string
	cmd    *exec.Cmd
	stdin  *os.File      // its end is the end of the part
	done   chan struct{} // closed when they are gone, and it is reaped
	err    error         // valid then
	stderr bytes.Buffer
	killed atomic.Bool
}

// act starts an actor in ns.
func (st *stage) act(ns *namespace, d duty) (*process, error) {
	d.Limit = st.p.Hold + actorLimit
	cmd, err := command(d)
	if err != nil {
		return nil, err
	}
	p := &process{part: d.Part, cmd: cmd, done: make(chan struct{})}
	in, stdin, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer in.Close()
	stdout, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), stdin.Close())
	}
	defer out.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr, p.stdin = in, out, &p.stderr, stdin
	// A process is born in the namespace of the thread that makes it.
	if err := ns.do(cmd.Start); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", d.Part, err), stdin.Close(), stdout.Close())
	}
	st.processes = append(st.processes, p)
	go p.follow(stdout, &st.book)
	return p, nil
}

// actorLimit is how long an actor lives at most, beside the story's Hold.
const actorLimit = 10 * time.Minute

func (p *process) pid() int { return p.cmd.Process.Pid }

// follow takes in what the process reports, until it and its children are gone.
func (p *process) follow(stdout *os.File, b *book) {
	defer close(p.done)
	defer stdout.Close()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var r report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			r = report{Failed: fmt.Sprintf("%s: read %q: %v", p.part, lines.Bytes(), err)}
		}
		b.enter(&r)
	}
	p.err = p.cmd.Wait()
	if p.err != nil && !p.killed.Load() {
		p.err = fmt.Errorf("%s: process %d: %w: %s", p.part, p.pid(), p.err, bytes.TrimSpace(p.stderr.Bytes()))
		b.enter(&report{Failed: p.err.Error()})
	}
}

// end tells the process that its part is over, and waits until it is gone.
func (p *process) end(ctx context.Context) error {
	p.stdin.Close()
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s, process %d: %w", p.part, p.pid(), context.Cause(ctx))
	}
	if p.killed.Load() {
		return nil
	}
	return p.err
}

// kill ends the process by SIGKILL, unless it is gone, and waits.
func (p *process) kill(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	p.killed.Store(true)
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s, process %d: %w", p.part, p.pid(), err)
	}
	return p.end(ctx)
}

// A book holds what the actors have reported.
type book struct {
	mu        sync.Mutex
	listeners []TruthListener
	serving   int
	conns     map[netip.AddrPort]*TruthConn // by Client
	order     []netip.AddrPort              // in which they were first told of
	failures  []Failure
	failed    string
	reports   int
}

// String says how much has been told.
func (b *book) String() string {
	return fmt.Sprintf("%d listeners, %d that serve, %d connections", len(b.listeners), b.serving, len(b.conns))
}

func (b *book) enter(r *report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports++
	switch {
	case r.Failed != "":
		if b.failed == "" {
			b.failed = r.Failed
		}
	case r.Failure != nil:
		b.failures = append(b.failures, *r.Failure)
	case r.Listener != nil:
		b.listeners = append(b.listeners, *r.Listener)
	case r.Serving != 0:
		b.serving++
	case r.Conn != nil:
		c := b.conns[r.Conn.Client]
		if c == nil {
			c = &TruthConn{Client: r.Conn.Client}
			if b.conns == nil {
				b.conns = map[netip.AddrPort]*TruthConn{}
			}
			b.conns[c.Client] = c
			b.order = append(b.order, c.Client)
		}
		c.learn(r.Conn)
	}
}

// count counts the connections of which is true.
func (b *book) count(is func(*TruthConn) bool) (n int) {
	for _, c := range b.conns {
		if is(c) {
			n++
		}
	}
	return n
}

// learn takes over what an actor knows of c.
func (c *TruthConn) learn(from *TruthConn) {
	for _, v := range []struct{ to, from *int }{
		{&c.ClientPID, &from.ClientPID},
		{&c.AccepterPID, &from.AccepterPID},
		{&c.AccepterTID, &from.AccepterTID},
		{&c.ReaderPID, &from.ReaderPID},
		{&c.ClientCloserPID, &from.ClientCloserPID},
		{&c.ServerCloserPID, &from.ServerCloserPID},
		{&c.ServerFD, &from.ServerFD},
	} {
		if *v.from != 0 {
			*v.to = *v.from
		}
	}
	if from.Server.IsValid() {
		c.Server = from.Server
	}
	if from.ClientCookie != 0 {
		c.ClientCookie, c.ClientComm = from.ClientCookie, from.ClientComm
	}
	if from.ServerCookie != 0 {
		c.ServerCookie = from.ServerCookie
	}
	if from.AccepterComm != "" {
		c.AccepterComm = from.AccepterComm
	}
	if c.AccepterPID != 0 {
		c.ServerPID = c.AccepterPID
	}
}
