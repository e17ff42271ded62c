//go:build linux

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A locked-down kernel may run no tracing program, of whichever type, while the
// current task is of process 1, to keep that out of reach. A softirq borrows
// the time of the task that it interrupts: the packets that it handles on that
// of process 1 are seen by nobody, and no counter of BPF tells (seen on Linux
// 6.18 in a virtual machine whose process 1 is its agent: tp_btf, raw and perf
// tracepoints alike, batches of 64 packets). What a test then misses says
// nothing about what it tests.

// unshieldedVar says, if it is set, that whoever made this machine knows that
// its process 1 is not shielded. To find out takes an emulated one seconds.
const unshieldedVar = "TCPLAB_UNSHIELDED"

// Unshielded calls run, which plays a story and traces it. If packets were
// handled on the time of process 1 meanwhile, it calls run again, a few times
// at most, and says so to logf.
func Unshielded(logf func(format string, args ...any), run func()) {
	if os.Getenv(unshieldedVar) != "" {
		run()
		return
	}
	const attempts = 12
	for attempt := 1; ; attempt++ {
		witness, err := openWitness(1)
		if err != nil {
			logf("not known whether packets are handled on the time of process 1: %v", err)
			run()
			return
		}
		run()
		n, err := witness.close()
		switch {
		case err != nil:
			logf("not known whether packets were handled on the time of process 1: %v", err)
			return
		case n == 0 || attempt == attempts:
			return
		}
		logf("packets were handled %d times on the time of process 1, where this kernel may run no tracing program: once more", n)
	}
}

// A witness is an instance of the kernel's own tracer, which no shield blinds.
// It sees what TCP does on the time of a process.
type witness struct {
	tracefs  int    // a mount of it that is nowhere, and goes with us
	instance string // which stays until somebody removes it
}

// instancePrefix begins the name of an instance; the PID of who made it follows.
const instancePrefix = "tcplab-"

func openWitness(pid int) (*witness, error) {
	tracefs, err := mountTracefs()
	if err != nil {
		return nil, fmt.Errorf("mount tracefs: %w", err)
	}
	instances := fmt.Sprintf("/proc/self/fd/%d/instances", tracefs)
	removeLeftover(instances)
	w := &witness{tracefs: tracefs}
	if w.instance, err = os.MkdirTemp(instances, fmt.Sprintf("%s%d-", instancePrefix, os.Getpid())); err != nil {
		return nil, errors.Join(fmt.Errorf("make an instance of the kernel's tracer: %w", err), unix.Close(tracefs))
	}
	if err := w.begin(pid); err != nil {
		_, closing := w.close()
		return nil, errors.Join(err, closing)
	}
	return w, nil
}

func mountTracefs() (int, error) {
	fs, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// removeLeftover removes what tests that were killed have left: all of the host's
// TCP would be slowed down by it.
func removeLeftover(instances string) {
	found, err := os.ReadDir(instances)
	if err != nil {
		return
	}
	for _, one := range found {
		rest, ours := strings.CutPrefix(one.Name(), instancePrefix)
		pid, err := strconv.Atoi(strings.SplitN(rest, "-", 2)[0])
		if ours && err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			_ = os.Remove(filepath.Join(instances, one.Name())) // or another test has
		}
	}
}

func (w *witness) begin(pid int) error {
	theirs, err := threadsOf(pid)
	if err != nil {
		return err
	}
	ours, err := notOfThisHost()
	if err != nil {
		return err
	}
	for event, what := range map[string]string{
		"napi/napi_poll":           "work > 0 && " + ours, // a batch of packets
		"sock/inet_sock_set_state": "",
		"timer/timer_expire_entry": "(function.function == tw_timer_handler || function.function == reqsk_timer_handler || function.function == tcp_write_timer ) && ",
	} {
		if err := w.trace(event, what+"("+theirs+")"); err != nil {
			return fmt.Errorf("trace %s: %w", event, err)
		}
	}
	return nil
}

func (w *witness) trace(event, filter string) error {
	dir := filepath.Join(w.instance, "events", event)
	if err := os.WriteFile(filepath.Join(dir, "filter"), []byte(filter), 0); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "enable"), []byte("1"), 0)
}

// notOfThisHost returns a condition that holds for the devices of a story, and
// what is queued without a device, as loopback's packets are: process 1 may well
// handle the packets of the host's own devices, whose traffic is no story's.
func notOfThisHost() (string, error) {
	devices, err := net.Interfaces()
	if err != nil {
		return "", fmt.Errorf("list the devices of this host: %w", err)
	}
	var terms []string
	for _, device := range devices {
		terms = append(terms, fmt.Sprintf("dev_name != %q && ", device.Name))
	}
	return strings.Join(terms, ""), nil
}

// threadsOf returns a condition that holds for the threads of the process.
func threadsOf(pid int) (string, error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return "", err
	}
	var terms []string
	for _, task := range tasks {
		terms = append(terms, "common_pid == "+task.Name())
	}
	return strings.Join(terms, " || "), nil
}

// close returns how much was seen.
func (w *witness) close() (int, error) {
	seen, err := os.ReadFile(filepath.Join(w.instance, "trace"))
	n := 0
	for line := range bytes.Lines(seen) {
		if !bytes.HasPrefix(line, []byte("#")) {
			n++
		}
	}
	return n, errors.Join(err, os.Remove(w.instance), unix.Close(w.tracefs))
}
