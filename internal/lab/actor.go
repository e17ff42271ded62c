//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// actorVar holds the duty of an actor.
const actorVar = "TCPTRACE_LAB_ACTOR"

// A duty is what a story asks of an actor.
type duty struct {
	Part  string           `json:"part"`
	Addr  netip.AddrPort   `json:"addr"`            // to listen on, or to connect to
	Count int              `json:"count,omitzero"`  // connections to make, or at most to accept; 0: any number
	Spare int              `json:"spare,omitzero"`  // starver: connections that it cannot accept
	Queue int              `json:"queue,omitzero"`  // listen()'s backlog; 0: backlog
	Peers []netip.AddrPort `json:"peers,omitempty"` // crier: to connect to
	Port  int              `json:"port,omitzero"`   // crier: the first of its local ports
	Limit time.Duration    `json:"limit"`           // the actor's life ends after this long, whatever happens
}

// A report is one line that an actor writes on its standard output. Exactly
// one member is set.
type report struct {
	Listener *TruthListener `json:"listener,omitempty"` // it listens
	Serving  int            `json:"serving,omitzero"`   // its PID: it is about to accept
	Conn     *TruthConn     `json:"conn,omitempty"`     // what it knows of a connection: Client, and what is new
	Failure  *Failure       `json:"failure,omitempty"`  // as the story wants it
	Failed   string         `json:"failed,omitempty"`   // as it does not
}

// actable says that the program has called Act, so that it can be started as
// an actor.
var actable bool

// Act plays an actor's part and does not return, in a process that a story has
// started; in any other it does nothing. A program that runs stories of
// several processes calls it first of all, in main or TestMain: its own binary
// is what they run.
func Act() {
	order, acting := os.LookupEnv(actorVar)
	if !acting {
		actable = true
		return
	}
	// The children that this thread starts die with it (Pdeathsig).
	runtime.LockOSThread()
	if err := act(order); err != nil {
		(&actor{}).tell(&report{Failed: fmt.Sprintf("%s (process %d): %v", order, os.Getpid(), err)})
		os.Exit(1)
	}
	os.Exit(0)
}

// An actor is a process of its own that plays a part in a story. It does so
// until the end of its standard input, which it shares with the actors that it
// has started itself.
type actor struct {
	duty duty
	comm string
	mu   sync.Mutex // serialises tell
}

func act(order string) error {
	a := &actor{}
	if err := json.Unmarshal([]byte(order), &a.duty); err != nil {
		return fmt.Errorf("read the duty: %w", err)
	}
	time.AfterFunc(a.duty.Limit, func() { os.Exit(3) })
	a.comm = actorComm(a.duty.Part)
	if err := setComm(a.comm); err != nil {
		return err
	}
	play, ok := parts()[a.duty.Part]
	if !ok {
		return fmt.Errorf("part %q: there is no such part", a.duty.Part)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return play(ctx, a)
}

// actorComm is what the processes are called that play part.
func actorComm(part string) string { return "lab-" + part }

func parts() map[string]func(context.Context, *actor) error {
	return map[string]func(context.Context, *actor) error{
		"prefork":    func(ctx context.Context, a *actor) error { return a.prefork("worker") },
		"worker":     playWorker,
		"threads":    playThreads,
		"goroutines": playGoroutines,
		"reuseport":  playReusePort,
		"http":       playHTTP,
		"passer":     playPasser,
		"receiver":   playReceiver,
		"forker":     playForker,
		"heir":       playHeir,
		"greeter":    playGreeter,
		"exiter":     playExiter,
		"idle":       func(ctx context.Context, a *actor) error { return a.prefork("idler") },
		"idler":      playIdler,
		"opener":     playOpener,
		"crier":      playCrier,
		"leaker":     playExiter,
		"starver":    playStarver,
		"sleeper":    playSleeper,
		"ringer":     playRinger,
		"killer":     playKiller,
		"keeper":     playKeeper,
	}
}

// setComm names all threads of this process, so that those that come will be
// called so as well: a thread has the name of the one that made it.
func setComm(comm string) error {
	for named := 0; ; {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list the threads: %w", err)
		}
		if len(threads) == named {
			return nil
		}
		named = len(threads)
		for _, thread := range threads {
			err := os.WriteFile("/proc/self/task/"+thread.Name()+"/comm", []byte(comm), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("name a thread: %w", err)
			}
		}
	}
}

// ownComm returns the name of this process.
func ownComm() (string, error) {
	b, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		return "", fmt.Errorf("read our own name: %w", err)
	}
	return string(b[:len(b)-1]), nil
}

// tell writes one report, in one piece: several actors share the pipe.
func (a *actor) tell(r *report) {
	b, err := json.Marshal(r)
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		_, err = os.Stdout.Write(append(b, '\n'))
	}
	if err != nil {
		os.Exit(2) // nobody listens any more
	}
}

// A child is an actor that another one started.
type child struct {
	cmd *exec.Cmd
}

// start starts an actor that inherits files from descriptor 3 on.
func (a *actor) start(d duty, files ...*os.File) (*child, error) {
	d.Limit = a.duty.Limit
	cmd, err := command(d)
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdin, os.Stdout, os.Stderr, files
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a %s: %w", d.Part, err)
	}
	return &child{cmd}, nil
}

func (c *child) wait() error {
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("process %d: %w", c.cmd.Process.Pid, err)
	}
	return nil
}

// command prepares an actor's process.
func command(d duty) (*exec.Cmd, error) {
	order, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("write a duty: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find our own binary: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), actorVar+"="+string(order))
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return cmd, nil
}

// inherited returns the file of that descriptor, which whoever started us left
// open.
func inherited(fd int) *socket {
	unix.CloseOnExec(fd)
	return &socket{fd: fd}
}

// file returns a copy of the socket's descriptor for a child to inherit. The
// caller closes it.
func (k *socket) file() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(k.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("copy the descriptor: %w", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}
