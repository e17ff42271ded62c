//go:build linux

package probe

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// A function is a kernel function's range of addresses.
type function struct {
	name       string
	begin, end uint64
	cold       bool // not the function but what the compiler moved out of it
}

// symbols are the kernel functions that we know by name: the handlers of our
// timers, and those whose presence on a stack tells why a socket ended. A nil
// *symbols knows none.
type symbols struct {
	functions []function // by address
}

var errHidden = errors.New("/proc/kallsyms shows no addresses (sysctl kernel.kptr_restrict, or CAP_SYSLOG is missing)")

// readSymbols finds the named functions. Those that this kernel lacks, or has
// inlined, are left out.
func readSymbols(names []string) (*symbols, error) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil, fmt.Errorf("read kernel symbols: %w", err)
	}
	defer f.Close()
	return parseSymbols(f, names)
}

// parseSymbols reads the format of /proc/kallsyms. A function ends where the
// next symbol of the kernel image begins; modules, which follow the image, are
// not read.
func parseSymbols(r io.Reader, names []string) (*symbols, error) {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	var text []uint64
	var found []function
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		address, kind, name, ok := splitSymbol(scan.Text())
		if strings.Contains(name, "\t[") {
			break
		}
		if !ok || kind != 't' && kind != 'T' {
			continue
		}
		text = append(text, address)
		base, _, _ := strings.Cut(name, ".") // the compiler's clones: name.isra.0
		if wanted[base] {
			found = append(found, function{name: base, begin: address, cold: strings.Contains(name, ".cold")})
		}
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("read kernel symbols: %w", err)
	}
	if len(found) == 0 || found[0].begin == 0 {
		return nil, errHidden
	}
	slices.Sort(text)
	for i := range found {
		found[i].end = following(text, found[i].begin)
	}
	slices.SortFunc(found, func(a, b function) int { return cmp.Compare(a.begin, b.begin) })
	return &symbols{functions: found}, nil
}

// following returns the first address behind begin.
func following(sorted []uint64, begin uint64) uint64 {
	next := sort.Search(len(sorted), func(i int) bool { return sorted[i] > begin })
	if next == len(sorted) {
		return ^uint64(0)
	}
	return sorted[next]
}

// splitSymbol splits a line "ffffffff81000000 T name".
func splitSymbol(line string) (address uint64, kind byte, name string, ok bool) {
	hex, rest, ok := strings.Cut(line, " ")
	if !ok || len(rest) < 3 || rest[1] != ' ' {
		return 0, 0, "", false
	}
	address, err := strconv.ParseUint(hex, 16, 64)
	return address, rest[0], rest[2:], err == nil
}

// address returns where the function begins, or 0 if it is not known.
func (s *symbols) address(name string) uint64 {
	if s == nil {
		return 0
	}
	for _, f := range s.functions {
		if f.name == name && !f.cold {
			return f.begin
		}
	}
	return 0
}

// at returns the name of the function that the address lies in, or "".
func (s *symbols) at(address uint64) string {
	if s == nil {
		return ""
	}
	i := sort.Search(len(s.functions), func(i int) bool { return s.functions[i].begin > address })
	if i == 0 || address >= s.functions[i-1].end {
		return ""
	}
	return s.functions[i-1].name
}
