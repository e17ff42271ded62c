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
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// bootLimit is how long a guest may take until its tests begin: some 5 s,
	// and many times that on a busy machine.
	bootLimit = 3 * time.Minute

	// busy is how many times the limit of its CPU time a guest may take by the
	// clock: others use the machine too.
	busy = 3

	// boots is how often a guest is started whose tests do not begin.
	boots = 3
)

// errNoBoot says that a guest died, or hung, before its tests began.
var errNoBoot = errors.New("the guest does not come up")

// A guest is an emulated machine that runs a script once.
type guest struct {
	image    *image
	programs []string      // paths of static programs to have in /bin
	script   string        // see init.sh
	dir      string        // for its files; the console's log stays there
	limit    time.Duration // of CPU time: see busy
	log      func(format string, args ...any)
}

// run boots the guest, again where it does not come up, and calls line with
// each line that its script prints.
func (g *guest) run(ctx context.Context, line func(string)) error {
	initrd := filepath.Join(g.dir, "initrd-"+g.image.kernel.name)
	if err := writeInitramfs(initrd, g.image, g.programs, g.script); err != nil {
		return err
	}
	defer os.Remove(initrd)
	for attempt := 1; ; attempt++ {
		err := g.boot(ctx, initrd, line)
		if !errors.Is(err, errNoBoot) || attempt == boots || ctx.Err() != nil {
			return err
		}
		g.log("%v (boot %d of at most %d): once more", err, attempt, boots)
	}
}

// boot starts the machine and reads what it says until it is done.
func (g *guest) boot(ctx context.Context, initrd string, line func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, busy*g.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		// The processors take turns on one thread of ours. On one thread each,
		// one may go on to run what another has just patched in the kernel's
		// code, forever, as it does when tracing starts and ends.
		"-accel", "tcg,thread=single",
		// Of the models that have what these kernels need, one without
		// cmpxchg16b: with it 6.12 panics under emulation more often than not.
		"-machine", "q35", "-cpu", "Nehalem,-cx16", "-smp", "2", "-m", "1200",
		"-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot",
		"-serial", "file:"+g.console(), "-serial", "stdio",
		"-kernel", filepath.Join(g.image.dir, "vmlinuz"), "-initrd", initrd,
		"-append", "console=ttyS0 panic=-1 rdinit=/init mitigations=off tsc=unstable")
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var begun atomic.Bool
	late := time.AfterFunc(bootLimit, func() {
		if !begun.Load() {
			cancel()
		}
	})
	defer late.Stop()
	go g.spend(ctx, cmd.Process.Pid, cancel)
	said, err := os.Create(filepath.Join(g.dir, "tests-"+g.image.kernel.name+".log"))
	if err != nil {
		return err
	}
	defer said.Close()
	done := g.read(io.TeeReader(out, said), func(text string) {
		begun.Store(true)
		line(text)
	})
	cancel()
	_ = cmd.Wait() // killed or not: what counts is how far the script came
	switch {
	case done:
		return nil
	case !begun.Load():
		return errNoBoot
	}
	return fmt.Errorf("the guest ended before its tests did (limit %v of CPU time); its console is in %s", g.limit, g.console())
}

// spend ends the guest once it has had the CPU for as long as it may.
func (g *guest) spend(ctx context.Context, pid int, end func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if cpuTime(pid) > g.limit {
				end()
				return
			}
		}
	}
}

// cpuTime returns what the process has had so far, 0 if it is gone (proc(5),
// /proc/PID/stat: utime and stime, in hundredths of a second).
func cpuTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11]) // digits only
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func (g *guest) console() string {
	return filepath.Join(g.dir, "console-"+g.image.kernel.name+".log")
}

// read hands over the lines up to the one that says that all is done, and says
// whether it came.
func (g *guest) read(out io.Reader, line func(string)) (done bool) {
	scan := bufio.NewScanner(out)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		text := strings.TrimRight(scan.Text(), "\r")
		if text == "@done" {
			return true
		}
		line(text)
	}
	return false
}
