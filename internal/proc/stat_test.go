package proc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// statText is /proc/PID/stat of a process that was forked so many ticks after
// boot and runs a program whose stack is at this address.
func statText(pid int, comm, state string, ppid, flags, ticks, stack uint64) string {
	return fmt.Sprintf("%d (%s) %s %d 7 7 0 -1 %d 211 0 0 0 1 2 3 4 20 0 1 0 %d 2523136 227 18446744073709551615 "+
		"93 94 %d 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 95 96 97 98 99 100 101 0\n", pid, comm, state, ppid, flags, ticks, stack)
}

func TestParseStat(t *testing.T) {
	for _, comm := range []string{"nginx", "", ") R 1 (", "a b\nc", "\x1b[31mx", "\xff\xfe", "kworker/u8:3-events_unbound"} {
		want := stat{comm: comm, state: 'S', ppid: 41, flags: 0x400100, start: 12345670 * time.Millisecond, stack: 140729301028544}
		got, err := parseStat([]byte(statText(97, comm, "S", 41, 0x400100, 1234567, 140729301028544)))
		if err != nil {
			t.Errorf("%q: %v", comm, err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(stat{})); d != "" {
			t.Errorf("%q (-want +got):\n%s", comm, d)
		}
	}
	whole := statText(97, "sh", "R", 1, 0, 1, 2)
	for _, text := range []string{"", "97", "97 (sh", "97 )sh( R", whole[:40], strings.Replace(whole, "2523136", "18446744073709551616", 1)[:30]} {
		if s, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q gave %+v", text, s)
		}
	}
}

func TestStat_Exiting(t *testing.T) {
	for text, want := range map[string]bool{
		statText(9, "sh", "S", 1, 0x400000, 1, 1): false,
		statText(9, "sh", "Z", 1, 0x400000, 1, 0): true,
		statText(9, "sh", "R", 1, 0x400004, 1, 0): true,
	} {
		s, err := parseStat([]byte(text))
		if err != nil || s.exiting() != want {
			t.Errorf("%q: exiting is %v, %v", text, s.exiting(), err)
		}
	}
}

func TestParseUID(t *testing.T) {
	const before = "Name:\tUid: 7\nState:\tS (sleeping)\n"
	for text, want := range map[string]uint32{
		before + "Uid:\t1000\t0\t0\t0\n":             1000,
		before + "Uid:\t0\t0\t0\t0\n":                0,
		before + "Uid:\t4294967294\t1\t1\t1\nGid:\n": 4294967294,
	} {
		if got, ok := parseUID([]byte(text)); got != want || !ok {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", before, "Uid:\n", "Uid:\tx\n"} {
		if _, ok := parseUID([]byte(text)); ok {
			t.Errorf("%q has no uid", text)
		}
	}
}

func TestParseCmdline(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		"/bin/sh\x00-c\x00a b\x00":      "/bin/sh -c a b",
		"nginx: worker process\x00\x00": "nginx: worker process",
		"a\x00\x00b\x00":                "a  b",
		"\x1b[31m\xff\x00":              "\x1b[31m\xff",
	} {
		if got := parseCmdline([]byte(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
