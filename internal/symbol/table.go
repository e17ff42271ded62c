package symbol

import (
	"cmp"
	"debug/elf"
	"debug/gosym"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxSection bounds the sections that are read, and maxSymbols the functions
	// that are kept of a file.
	maxSection = 256 << 20
	maxSymbols = 1 << 20
)

// A table names the functions of one file.
type table struct {
	segments  []segment
	functions []function   // by address
	lines     *gosym.Table // of a Go program; nil else
}

// A segment says where a part of the file is to be in memory.
type segment struct{ offset, size, address uint64 }

type function struct {
	begin, size uint64 // 0: it ends where the next one begins
	name        string
}

// readTable reads a file's functions, as far as it has any; nil if it is no ELF
// file, or a bad one.
func readTable(f io.ReaderAt, size int64) (t *table) {
	defer func() {
		if recover() != nil { // debug/elf and debug/gosym promise nothing for bad files
			t = nil
		}
	}()
	file, err := elf.NewFile(io.NewSectionReader(f, 0, size))
	if err != nil {
		return nil
	}
	t = &table{}
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD {
			t.segments = append(t.segments, segment{p.Off, p.Filesz, p.Vaddr})
		}
	}
	t.lines = goTable(file)
	if t.lines == nil {
		t.functions = functionsOf(file)
	}
	return t
}

// functionsOf reads the symbol table or, where that was stripped, the dynamic one.
func functionsOf(file *elf.File) []function {
	var all []function
	for _, source := range []struct {
		section elf.SectionType
		read    func() ([]elf.Symbol, error)
	}{{elf.SHT_SYMTAB, file.Symbols}, {elf.SHT_DYNSYM, file.DynamicSymbols}} {
		if s := file.SectionByType(source.section); s == nil || s.Size > maxSection {
			continue
		}
		symbols, err := source.read()
		if err != nil {
			continue
		}
		for _, s := range symbols {
			if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF && len(all) < maxSymbols {
				all = append(all, function{s.Value, s.Size, s.Name})
			}
		}
		if len(all) > 0 {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b function) int { return cmp.Compare(a.begin, b.begin) })
	return all
}

// goTable reads the table of functions that a Go program has for its own use. It
// gives addresses by their distance from the begin of the code that Go made, and
// where that is, is not said by all of them. It is where .text begins if Go's own
// linker made the file; then the program's entry is one of Go's functions.
func goTable(file *elf.File) *gosym.Table {
	lines, text := file.Section(".gopclntab"), file.Section(".text")
	if lines == nil || text == nil || lines.Size > maxSection {
		return nil
	}
	data, err := lines.Data()
	if err != nil {
		return nil
	}
	t, err := gosym.NewTable(nil, gosym.NewLineTable(data, text.Addr))
	if err != nil || len(t.Funcs) == 0 || len(t.Funcs) > maxSymbols {
		return nil
	}
	entry := t.PCToFunc(file.Entry)
	if entry == nil || entry.Entry != file.Entry || !strings.HasPrefix(entry.Name, "_rt0_") {
		return nil
	}
	return t
}

// name names the function at an offset of the file, which has this name.
func (t *table) name(offset uint64, file string) (name string, ok bool) {
	address, ok := t.address(offset)
	if !ok {
		return "", false
	}
	if t.lines != nil {
		return t.goName(address)
	}
	i, exact := slices.BinarySearchFunc(t.functions, address, func(f function, a uint64) int { return cmp.Compare(f.begin, a) })
	if !exact {
		i--
	}
	if i < 0 {
		return "", false
	}
	f := &t.functions[i]
	if f.size != 0 && address-f.begin >= f.size {
		return "", false
	}
	return f.name + "+0x" + strconv.FormatUint(address-f.begin, 16) + " (" + file + ")", true
}

func (t *table) goName(address uint64) (name string, ok bool) {
	defer func() {
		if recover() != nil {
			name, ok = "", false
		}
	}()
	source, line, f := t.lines.PCToLine(address)
	if f == nil {
		return "", false
	}
	return f.Name + " (" + filepath.Base(source) + ":" + strconv.Itoa(line) + ")", true
}

// address returns where an offset of the file is in memory, by the file.
func (t *table) address(offset uint64) (uint64, bool) {
	for _, s := range t.segments {
		if s.offset <= offset && offset-s.offset < s.size {
			return s.address + offset - s.offset, true
		}
	}
	return 0, false
}
