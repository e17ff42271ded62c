package proc

import (
	"os"
	"testing"
)

// The answers that are remembered are asked for with every event: they take
// no system call and no allocation.
func TestRememberedAnswersDoNotAllocate(t *testing.T) {
	r, mount := unified(t, Options{})
	dir, _ := makeCgroup(t, mount, "/docker/"+hexB)
	id, pid, at := inode(t, dir), uint32(os.Getpid()), monotonic()
	netns := uint32(inode(t, "/proc/self/ns/net"))
	for name, ask := range map[string]func() bool{
		"container by cgroup": func() bool { _, ok := r.Container(id, 0, at); return ok },
		"container by pid":    func() bool { _, ok := r.Container(0, pid, at); return ok },
		"process":             func() bool { _, ok := r.Process(pid, at); return ok },
		"network namespace":   func() bool { _, ok := r.NetNS(netns); return ok },
	} {
		if !ask() {
			t.Errorf("%s is unknown", name)
		}
		if n := testing.AllocsPerRun(1009, func() { ask() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkContainer(b *testing.B) {
	r, mount := unified(b, Options{})
	dir, _ := makeCgroup(b, mount, "/docker/"+hexB)
	id, pid, at := inode(b, dir), uint32(os.Getpid()), monotonic()
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Container(id, 0, at)
		}
	})
	b.Run("by-pid", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Container(0, pid, at)
		}
	})
	b.Run("first-time", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			clear(r.cgroups.known.entries)
			r.cgroups.known.ends.prev, r.cgroups.known.ends.next = &r.cgroups.known.ends, &r.cgroups.known.ends
			r.Container(id, 0, at)
		}
	})
}

func BenchmarkProcess(b *testing.B) {
	r := newLive(b, Options{Cmdline: true})
	pid, at := uint32(os.Getpid()), monotonic()
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Process(pid, at)
		}
	})
	b.Run("looked-at-again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Process(pid, 0)
		}
	})
	b.Run("first-time", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := r.readProcess(pid); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkNetNS(b *testing.B) {
	r := newLive(b, Options{})
	inode := uint32(inode(b, "/proc/self/ns/net"))
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.NetNS(inode)
		}
	})
	b.Run("scan", func(b *testing.B) {
		for b.Loop() {
			list, err := r.NetNamespaces()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(list)), "namespaces")
		}
		pids, _ := numbers("/proc")
		b.ReportMetric(float64(len(pids)), "processes")
	})
}
