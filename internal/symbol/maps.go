package symbol

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A mapping is a part of a process's memory that a file is mapped to, to be run.
type mapping struct {
	begin, end uint64
	offset     uint64 // in the file
	path       string // as the process sees it
}

// mappings reads the parts of a process's memory that may be run.
func mappings(proc string, pid uint32) ([]mapping, error) {
	text, err := os.ReadFile(fmt.Sprintf("%s/%d/maps", proc, pid))
	if err != nil {
		return nil, err
	}
	var all []mapping
	for line := range strings.Lines(string(text)) {
		if m, ok := parseMapping(line); ok {
			all = append(all, m)
		}
	}
	return all, nil
}

// parseMapping reads a line of /proc/PID/maps:
//
//	559f14a00000-559f14c00000 r-xp 00001000 08:01 1234   /usr/bin/program
//
// It returns false for one of memory that is not run, or of no file.
func parseMapping(line string) (m mapping, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || len(fields[1]) < 3 || fields[1][2] != 'x' || !strings.HasPrefix(fields[5], "/") {
		return mapping{}, false
	}
	begin, end, _ := strings.Cut(fields[0], "-")
	m.path = strings.TrimRight(line[strings.Index(line, fields[5]):], "\n") // it may have spaces
	var errs [3]error
	m.begin, errs[0] = strconv.ParseUint(begin, 16, 64)
	m.end, errs[1] = strconv.ParseUint(end, 16, 64)
	m.offset, errs[2] = strconv.ParseUint(fields[2], 16, 64)
	return m, errs == [3]error{}
}

// find returns the mapping that an address lies in.
func find(all []mapping, address uint64) (mapping, bool) {
	for _, m := range all {
		if m.begin <= address && address < m.end {
			return m, true
		}
	}
	return mapping{}, false
}
