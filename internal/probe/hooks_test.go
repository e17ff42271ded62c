//go:build linux

package probe

import (
	"os"
	"strings"
	"testing"

	"github.com/tcptrace/tcptrace/internal/bpf"
)

// Each program of the object belongs to a hook, and is made for the place that
// the hook names: doctor prints that place.
func TestHooks_NameEveryProgramAndItsPlace(t *testing.T) {
	spec, err := bpf.LoadTcptrace()
	if err != nil {
		t.Fatal(err)
	}
	old := &kernel{} // one that lacks everything, so that it needs every hook
	hooks := append(acceptHooks(false), callHooks(&Options{Errors: true}, true)...)
	for _, set := range []hookSet{trampolines(), timers()} {
		hooks = append(hooks, set.hooks(old)...)
	}
	known := map[string]bool{}
	for _, h := range hooks {
		known[h.program] = true
		program := spec.Programs[h.program]
		if program == nil {
			t.Errorf("%s is not in the object", h.program)
			continue
		}
		if program.SectionName != h.where {
			t.Errorf("%s is made for %s, and its hook says %s", h.program, program.SectionName, h.where)
		}
		if len(h.serves) == 0 {
			t.Errorf("%s serves nothing", h.program)
		}
	}
	for name := range spec.Programs {
		if !known[name] {
			t.Errorf("%s belongs to no hook", name)
		}
		if len(name) > 15 {
			t.Errorf("the kernel cuts the name of %s: it has %d bytes, 15 are kept", name, len(name))
		}
	}
}

// Each set serves the same capabilities: which one is in use is no difference
// to the user.
func TestHookSets_ServeTheSame(t *testing.T) {
	served := func(set hookSet) map[string]bool {
		all := map[string]bool{}
		for _, h := range set.hooks(&kernel{}) {
			for _, name := range h.serves {
				all[name] = true
			}
		}
		return all
	}
	with, without := served(trampolines()), served(timers())
	for name := range without {
		if !with[name] {
			t.Errorf("no trampoline serves %q", name)
		}
	}
	for name := range with {
		if !without[name] {
			t.Errorf("no timer serves %q", name)
		}
	}
}

func TestHookSets_UnknownName(t *testing.T) {
	_, err := hookSets("kprobes")
	const want = `hooks "kprobes": there are fentry and timers`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What is asked for by name serves, or Open says in one line why it cannot;
// what is chosen by default drops to what the kernel has.
func TestOpen_HooksByNameAndByDefault(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("these tests load BPF programs: run them as root")
	}
	place := map[string]string{HooksFentry: "fentry/inet_twsk_kill, ", HooksTimers: "tp_btf/timer_start, "}
	best := HooksFentry
	if err := hasTrampolines(&kernel{}); err != nil {
		best = HooksTimers
		_, err := Open(Options{Hooks: HooksFentry, RingBytes: os.Getpagesize(), NoSweep: true})
		if err == nil || !strings.HasPrefix(err.Error(), `hooks "fentry": `) || strings.Contains(err.Error(), "\n") {
			t.Errorf("asked for fentry: %v", err)
		}
		delete(place, HooksFentry)
	}
	place[""] = place[best]
	for name, where := range place {
		s, err := Open(Options{Hooks: name, RingBytes: os.Getpagesize(), NoSweep: true})
		if err != nil {
			t.Errorf("hooks %q: %v", name, err)
			continue
		}
		for _, c := range s.Capabilities() {
			if c.Name == timeWait && (c.Grade != Exact || !strings.HasPrefix(c.Hook+", ", where)) {
				t.Errorf("hooks %q: %s is %s by %s, want it exact by %s", name, c.Name, c.Grade, c.Hook, where)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("hooks %q: %v", name, err)
		}
	}
}

// Programs at the system calls tax each one of the host, whoever makes it: nothing
// of them is attached unless it is asked for.
func TestOpen_TaxesNoSystemCallUnasked(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("these tests load BPF programs: run them as root")
	}
	taxed := func(options Options) (n int) {
		options.RingBytes, options.NoSweep = os.Getpagesize(), true
		s, err := Open(options)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, c := range s.Capabilities() {
			n += strings.Count(c.Hook, "syscalls/")
		}
		return n
	}
	if n := taxed(Options{}); n != 0 {
		t.Errorf("%d programs at system calls, want none", n)
	}
	if n := taxed(Options{Errors: true}); n == 0 {
		t.Error("none where failed calls are asked for: the test shows nothing")
	}
}
