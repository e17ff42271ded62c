//go:build linux

package snapshot

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

var wanted = flag.Int("sockets", 0, "how many sockets BenchmarkTake and TestTake_BesideSS make, at least; 0 skips the latter")

// perHelper is how many connections a process can hold both ends of, with a
// limit of 20,000 descriptors.
const perHelper = 8334

// connectMany makes connections to itself: job is "ADDRESS COUNT".
func connectMany(job string) {
	var t helperTB
	var host string
	var count int
	if _, err := fmt.Sscan(job, &host, &count); err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: 20000, Max: 20000}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.MustParseAddr(host), 8080)
	listener := listen(t, at, 100)
	for range count {
		dial(t, at)
		listener.accept()
	}
	hold()
}

// helperTB lets a helper, which is no test, use what tests do.
type helperTB struct{ testing.TB }

func (helperTB) Helper()        {}
func (helperTB) Cleanup(func()) {}
func (helperTB) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}

// holdMany has helpers hold that many sockets or a few more, in the thread's
// namespace, and returns how many exactly.
func holdMany(t testing.TB, sockets int) int {
	t.Helper()
	made := 0
	for helper := 1; made < sockets; helper++ {
		count := min(perHelper, (sockets-made+1)/2)
		startHelper(t, fmt.Sprintf("127.0.1.%d %d", helper, count))
		made += 2*count + 1 // and the listener
	}
	return made
}

func BenchmarkTake(b *testing.B) {
	r := newReader(b)
	privateNet(b)
	made := holdMany(b, max(*wanted, 2000))
	b.ReportAllocs()
	for b.Loop() {
		if snap := take(b, r, Options{}); len(snap.Sockets) != made {
			b.Fatalf("%d sockets, want %d", len(snap.Sockets), made)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(made), "ns/socket")
}

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		r, err := Open()
		check(b, err)
		check(b, r.Close())
	}
}

// The same sockets and the same owners as "ss -tanp", in a fraction of its
// time.
func TestTake_BesideSS(t *testing.T) {
	ss, err := exec.LookPath("ss")
	if *wanted == 0 || err != nil {
		t.Skip("asked for by -sockets; needs ss")
	}
	privateNet(t)
	made := holdMany(t, *wanted)
	begin := time.Now()
	r, err := Open()
	check(t, err)
	defer r.Close()
	opened := time.Since(begin)
	var took, worked []time.Duration
	var snap *Snapshot
	for range 5 {
		begin, before := time.Now(), worktime(t)
		snap, err = r.Take(context.Background(), Options{})
		check(t, err)
		took = append(took, time.Since(begin))
		worked = append(worked, worktime(t)-before)
	}
	begin = time.Now()
	cmd := exec.Command(ss, "-tanpH")
	out, err := cmd.Output()
	check(t, err)
	t.Logf("%d sockets: open %v, take %v (processor time %v), ss -tanp %v (%v)", len(snap.Sockets), opened,
		took, worked, time.Since(begin), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())

	ours := map[string]bool{}
	for i := range snap.Sockets {
		ours[likeSS(&snap.Sockets[i])] = true
	}
	if len(snap.Sockets) != made || len(ours) != made {
		t.Fatalf("%d sockets, %d of them different, want %d", len(snap.Sockets), len(ours), made)
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	for _, line := range lines {
		if said := strings.Join(strings.Fields(string(line)), " "); !ours[said] {
			t.Fatalf("ss says %q", said)
		}
	}
	if len(lines) != made {
		t.Errorf("ss lists %d sockets, want %d", len(lines), made)
	}
}

// worktime returns the processor time of this process, which does not depend on
// what else the host does.
func worktime(t testing.TB) time.Duration {
	t.Helper()
	var usage unix.Rusage
	check(t, unix.Getrusage(unix.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// likeSS prints a socket as "ss -tanp" does, spaces apart.
func likeSS(s *Socket) string {
	state, peer := "ESTAB", s.Remote.String()
	if s.State == tcp.Listen {
		state, peer = "LISTEN", "0.0.0.0:*"
	}
	h := s.Holders[0]
	comm, _, _ := bytes.Cut(h.Comm[:], []byte{0})
	return fmt.Sprintf("%s %d %d %v %s users:((%q,pid=%d,fd=%d))", state, s.RecvQ, s.SendQ, s.Local, peer, comm, h.PID, h.FD)
}
