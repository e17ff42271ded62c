package proc

import (
	"bytes"
	"errors"
	"strconv"
	"time"
)

// tick is the unit of times in /proc/PID/stat: 1/USER_HZ, which is 100 on
// every architecture that BPF has.
const tick = time.Second / 100

// Bits of the field flags (include/linux/sched.h).
const (
	flagExiting = 0x4
	flagKernel  = 0x200000
)

// A stat is the part of /proc/PID/stat that tells one process, and one
// program in it, from another.
type stat struct {
	comm  string
	state byte
	ppid  uint32
	flags uint64
	start time.Duration // since boot, CLOCK_BOOTTIME, in whole ticks
	stack uint64        // where execve placed the stack: random; 0 where not shown
}

func (s *stat) exiting() bool { return s.flags&flagExiting != 0 || s.state == 'Z' || s.state == 'X' }

// execed reports whether the process runs another program, or goes by another
// name, than when was was read. The process itself is the same.
func (s *stat) execed(was *stat) bool {
	return s.comm != was.comm || s.stack != 0 && s.stack != was.stack
}

var errStat = errors.New("not as proc(5) describes it")

// parseStat reads /proc/PID/stat. The name is in parentheses, and may hold
// parentheses and spaces; what follows it is numbers.
func parseStat(text []byte) (stat, error) {
	begin, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if begin < 0 || end < begin {
		return stat{}, errStat
	}
	s := stat{comm: string(text[begin+1 : end])}
	var err error
	number := func(field []byte) uint64 {
		n, e := strconv.ParseUint(string(field), 10, 64)
		err = errors.Join(err, e)
		return n
	}
	field := 3 // as proc(5) counts them
	for word := range bytes.FieldsSeq(text[end+1:]) {
		switch field {
		case 3:
			s.state = word[0]
		case 4:
			s.ppid = uint32(number(word))
		case 9:
			s.flags = number(word)
		case 22:
			s.start = time.Duration(number(word)) * tick
		case 28:
			s.stack = number(word)
			return s, err
		}
		field++
	}
	return stat{}, errStat
}

// parseUID returns the real user id in /proc/PID/status.
func parseUID(text []byte) (uint32, bool) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
			for word := range bytes.FieldsSeq(rest) {
				n, err := strconv.ParseUint(string(word), 10, 32)
				return uint32(n), err == nil
			}
		}
	}
	return 0, false
}

// parseCmdline makes one line of /proc/PID/cmdline: its arguments with a space
// between them, cut at maxCmdline bytes. They are raw bytes otherwise.
func parseCmdline(text []byte) string {
	text = bytes.TrimRight(text[:min(len(text), maxCmdline)], "\x00")
	return string(bytes.ReplaceAll(text, []byte{0}, []byte{' '}))
}
