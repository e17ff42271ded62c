//go:build linux

package probe

import (
	"bufio"
	"cmp"
	"io"
	"os"
	"slices"
	"sort"
	"strings"
)

// functions names kernel functions by the distance of a return address from
// base. It reads the table of all of them, a few megabytes, when it is first asked: most traces
// have nothing to ask.
type functions struct {
	base  uint64 // 0 where addresses are hidden
	table []symbol
	known map[int32]string
}

// A symbol is where a function begins, in the kernel image or a module.
type symbol struct {
	begin uint64
	name  string
}

// name returns the function that the address lies in, or "". The compiler's
// clones have the name of the function that they are of.
func (f *functions) name(distance int32) string {
	if f.base == 0 {
		return ""
	}
	if name, ok := f.known[distance]; ok {
		return name
	}
	if f.known == nil {
		f.known = map[int32]string{}
		f.table = readFunctions()
	}
	name := f.at(f.base + uint64(int64(distance)) - 1) // the call may end its function
	f.known[distance] = name
	return name
}

func (f *functions) at(address uint64) string {
	i := sort.Search(len(f.table), func(i int) bool { return f.table[i].begin > address })
	if i == 0 {
		return ""
	}
	return f.table[i-1].name
}

func readFunctions() []symbol {
	file, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil
	}
	defer file.Close()
	return parseFunctions(file)
}

// parseFunctions reads the format of /proc/kallsyms, modules included.
func parseFunctions(r io.Reader) []symbol {
	var table []symbol
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		address, kind, name, ok := splitSymbol(scan.Text())
		if !ok || kind != 't' && kind != 'T' {
			continue
		}
		name, _, _ = strings.Cut(name, "\t")
		name, _, _ = strings.Cut(name, ".")
		table = append(table, symbol{begin: address, name: strings.Clone(name)})
	}
	slices.SortStableFunc(table, func(a, b symbol) int { return cmp.Compare(a.begin, b.begin) })
	return table
}
