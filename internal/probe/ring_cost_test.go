//go:build linux

package probe

import (
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
)

// BenchmarkReserve measures what a record takes of the kernel: its room, reserved and
// submitted without a word in it, by one processor and by two, at one ring or each at its
// own. The empty program is what the measurement itself takes.
func BenchmarkReserve(b *testing.B) {
	one, other := newRing(b), newRing(b)
	empty := socketFilter(b, asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()})
	first, second := reserves(b, one, noWakeup), reserves(b, other, noWakeup)
	b.Run("empty", func(b *testing.B) { contend(b, empty) })
	b.Run("one-processor", func(b *testing.B) { contend(b, first) })
	b.Run("two-processors-one-ring", func(b *testing.B) { contend(b, first, first) })
	b.Run("two-processors-two-rings", func(b *testing.B) { contend(b, first, second) })
}

// BenchmarkRings measures what it takes to read a record, of one ring and of several that
// were written to in turn.
func BenchmarkRings(b *testing.B) {
	const records = 4096
	for _, n := range []int{1, 4, 16} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			p, rs := pens(n, records)
			for i := range records {
				p[i%n].write(event.Time(i))
			}
			for b.Loop() {
				for _, r := range rs {
					r.at = 0
				}
				rs.look(records)
				for read := 0; ; read++ {
					record, _, err := rs.next()
					if err != nil || record == nil && read != records {
						b.Fatalf("%d records of %d; %v", read, records, err)
					}
					if record == nil {
						break
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/records, "ns/record")
		})
	}
}

// A writer is a program with the ring that it writes to, if it does.
type writer struct {
	program *ebpf.Program
	ring    *ring
}

func newRing(t testing.TB) *ebpf.Map {
	t.Helper()
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: defaultRing})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// Flags of bpf_ringbuf_submit: BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP.
const (
	noWakeup    = 1
	forceWakeup = 2
)

// reserves returns a program that writes an empty record to the ring, and returns
// whether that had no room.
func reserves(t testing.TB, m *ebpf.Map, flags int32) writer {
	t.Helper()
	w := socketFilter(t, asm.Instructions{
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Imm(asm.R2, int32(recordSize)),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
		asm.JEq.Imm(asm.R0, 0, "full"),
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.Mov.Imm(asm.R2, flags),
		asm.FnRingbufSubmit.Call(),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("full"),
		asm.Return(),
	})
	var err error
	if w.ring, err = openRing(m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.ring.close() })
	return w
}

func socketFilter(t testing.TB, code asm.Instructions) writer {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "GPL", Instructions: code})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return writer{program: program}
}

// contend has each writer write on a processor of its own, and reports the time that a
// record took it, and how many there were in a second in all.
func contend(b *testing.B, writers ...writer) {
	if cpus, err := onlineCPUs(); err != nil || len(cpus) < len(writers) {
		b.Skipf("processors %v (%v), for %d writers", cpus, err, len(writers))
	}
	const runs = 10_000 // 720 kB: they fit in the ring several times
	var spent, written atomic.Int64
	began := time.Now()
	var all sync.WaitGroup
	for cpu, w := range writers {
		all.Go(func() {
			defer pin(b, cpu)()
			for i := 0; i < b.N; i += runs {
				full, each, err := w.program.Benchmark(make([]byte, 64), runs, nil)
				if err != nil || full != 0 {
					b.Errorf("the ring is full: %d; %v", full, err)
					return
				}
				spent.Add(int64(each) * runs)
				written.Add(runs)
				if w.ring != nil {
					atomic.StoreUint64(position(w.ring.consumer), atomic.LoadUint64(position(w.ring.producer)))
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(spent.Load())/float64(max(written.Load(), 1)), "ns/record")
	b.ReportMetric(float64(written.Load())/time.Since(began).Seconds()/1e6, "Mrecords/s")
}

// pin has the calling goroutine run on one processor, until the returned function is called.
func pin(b *testing.B, cpu int) (end func()) {
	runtime.LockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		b.Error(err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		b.Error(err)
	}
	return func() {
		_ = unix.SchedSetaffinity(0, &before)
		runtime.UnlockOSThread()
	}
}
