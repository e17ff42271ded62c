//go:build linux

package endtoend

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// BenchmarkStorm plays storms beside tcptrace, and reports what the kernel
// counted a second, what tcptrace took of one processor for it, in its process
// and in its BPF programs (in percent), and by how much its count differs from
// the kernel's, which must be by nothing. Run it with -benchtime=1x.
func BenchmarkStorm(b *testing.B) {
	for _, storm := range []struct {
		story, counter string
		side           int // the namespace that counts
	}{
		{"retransmit-storm", "RetransSegs", 0},
		{"synack-storm", "RetransSegs", 1},
		{"reset-storm", "OutRsts", 1},
	} {
		for _, args := range []string{"watch -o json", "watch --plain", "conns -o json --open"} {
			if storm.counter == "OutRsts" && args == "conns -o json --open" {
				continue // RSTs without a socket are of no connection
			}
			b.Run(storm.story+"/"+strings.ReplaceAll(args, " ", "_"), func(b *testing.B) {
				for b.Loop() {
					lab.Unshielded(b.Logf, func() { runStorm(b, storm.story, storm.counter, storm.side, strings.Fields(args)) })
				}
			})
		}
	}
}

// stormLasts is long beside what opening the connections takes, and the first
// tokens of all buckets.
const stormLasts = 5 * time.Second

// A stormLine is what is read of a record.
type stormLine struct {
	Type      string
	Direction string
	NetNS     uint32
	Segments  uint64
	Count     uint64 // of RSTs that one record stands for
}

// counts says by how much the record counts what the kernel's counter does.
func (l *stormLine) counts(counter string) uint64 {
	switch {
	case l.Type == "reset" && counter == "OutRsts" && l.Direction == "sent":
		return max(l.Count, 1)
	case l.Type == "retransmit" && counter == "RetransSegs":
		return l.Segments
	}
	return 0
}

func runStorm(b *testing.B, name, counter string, side int, args []string) {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		b.Skipf("BPF statistics need root: %v", err)
	}
	defer stats.Close()
	story, err := lab.Lookup(name)
	if err != nil {
		b.Fatal(err)
	}
	out, err := os.CreateTemp(b.TempDir(), "out")
	if err != nil {
		b.Fatal(err)
	}
	var tr *tracer
	var before, after cost
	var netns []uint32
	params := lab.Params{Hold: stormLasts, Ready: func(inodes []uint32) error {
		netns = inodes
		tr = start(b, out, append(args, "--netns="+strings.Trim(strings.Join(strings.Fields(fmt.Sprint(inodes)), ","), "[]"))...)
		before, err = costOf(tr.cmd.Process.Pid)
		return err
	}, Held: func(*lab.Truth) error {
		after, err = costOf(tr.cmd.Process.Pid)
		return err
	}, Over: func(*lab.Truth) error { // the storm's connections have closed, which sends again, too
		if status := tr.interrupt(); status != 0 {
			b.Errorf("exit status %d: %s", status, tr.stderr.Bytes())
		}
		return nil
	}}
	truth, err := story.Run(b.Context(), params)
	if err != nil {
		b.Fatal(err)
	}
	storm := truth.Elapsed.Seconds() // what was before and after it cost something, too
	b.ReportMetric(100*(after.process-before.process).Seconds()/storm, "%process")
	b.ReportMetric(100*(after.bpf()-before.bpf()).Seconds()/storm, "%BPF")
	b.Log(after.since(&before, truth.Elapsed))
	kernel := truth.NetNS[side].Counters[counter]
	b.ReportMetric(float64(kernel)/truth.Elapsed.Seconds(), counter+"/s")
	if args[0] == "conns" || args[len(args)-1] == "--plain" {
		return // a storm of many connections is not told connection by connection
	}
	got, lost, records := uint64(0), uint64(0), 0
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		b.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); records++ {
		var l stormLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			b.Fatal(err)
		}
		if l.Type == "lost" {
			lost += l.Count
		} else if l.NetNS == netns[side] {
			got += l.counts(counter)
		}
	}
	b.ReportMetric(float64(got)-float64(kernel), "off")
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(float64(records), "records")
}

// A cost is what a tracer has taken so far.
type cost struct {
	process  time.Duration
	programs map[string]ran
}

// ran says how often a BPF program has run, and for how long.
type ran struct {
	times uint64
	took  time.Duration
}

func (c *cost) bpf() (sum time.Duration) {
	for _, p := range c.programs {
		sum += p.took
	}
	return sum
}

// since says what each program took after before, the most first.
func (c *cost) since(before *cost, elapsed time.Duration) string {
	names := slices.SortedFunc(maps.Keys(c.programs), func(a, b string) int {
		return cmp.Compare(c.programs[b].took-before.programs[b].took, c.programs[a].took-before.programs[a].took)
	})
	var text strings.Builder
	for _, name := range names {
		p, was := c.programs[name], before.programs[name]
		if n := p.times - was.times; n > 0 {
			took := p.took - was.took
			fmt.Fprintf(&text, "\n%-16s %8d times, %5d ns each, %5.2f %%", name, n, took.Nanoseconds()/int64(n), 100*took.Seconds()/elapsed.Seconds())
		}
	}
	return text.String()
}

func costOf(pid int) (cost, error) {
	c := cost{programs: map[string]ran{}}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return c, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return c, err
	}
	c.process = time.Duration(user+system) * (time.Second / 100) // USER_HZ
	ids, err := programsOf(pid)
	if err != nil {
		return c, err
	}
	for _, id := range ids {
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			return c, err
		}
		s, err := p.Stats()
		if err != nil {
			p.Close()
			return c, err
		}
		info, err := p.Info()
		p.Close()
		if err != nil {
			return c, err
		}
		was := c.programs[info.Name]
		c.programs[info.Name] = ran{was.times + s.RunCount, was.took + s.Runtime}
	}
	return c, nil
}

// programsOf returns the BPF programs that a process holds.
func programsOf(pid int) ([]ebpf.ProgramID, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return nil, err
	}
	held := map[ebpf.ProgramID]bool{} // a link names its program, too
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // closed meanwhile
		}
		for line := range strings.Lines(string(b)) {
			if value, ok := strings.CutPrefix(line, "prog_id:"); ok {
				id, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
				if err != nil {
					return nil, err
				}
				held[ebpf.ProgramID(id)] = true
			}
		}
	}
	return slices.Collect(maps.Keys(held)), nil
}
