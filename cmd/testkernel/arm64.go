package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/tcptrace/tcptrace/internal/bpf"
)

// A port is what of the BPF objects, which amd64 and arm64 share, fits the same
// kernel of arm64. That one is not booted: its types are read.
type port struct {
	name        string // as of the kernel
	release     string
	relocations int      // that find what they look for
	absent      []string // programs for which it has no place
	unfit       []string // relocations that find nothing and are not of a variant
}

// arm64 fetches the same kernel for arm64 and holds the BPF objects against it.
func arm64(ctx context.Context, k kernel, cache string) (*port, error) {
	file, err := fetchTypes(ctx, k, cache)
	if err != nil && k.security { // whose archive keeps some packages of arm64 no longer
		k.security = false
		file, err = fetchTypes(ctx, k, cache)
	}
	if err != nil {
		return nil, err
	}
	types, err := btf.LoadSpec(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	_, release, _ := strings.Cut(filepath.Base(file), "_")
	p := &port{name: k.name, release: release}
	for _, load := range []func() (*ebpf.CollectionSpec, error){bpf.LoadTcptrace, bpf.LoadSnapshot, bpf.LoadHandlers} {
		spec, err := load()
		if err != nil {
			return nil, err
		}
		for name, program := range spec.Programs {
			if err := p.check(name, program, types); err != nil {
				return nil, fmt.Errorf("%s on %s: %w", name, release, err)
			}
		}
	}
	slices.Sort(p.absent)
	return p, nil
}

// check relocates a program. What finds nothing may do so if it looks for the
// variant of a type (name___variant), or if one was found: a program asks which
// of the two this kernel has.
func (p *port) check(name string, program *ebpf.ProgramSpec, types *btf.Spec) error {
	if !hasPlace(program, types) {
		p.absent = append(p.absent, name)
	}
	var relocations []*btf.CORERelocation
	for i := range program.Instructions {
		if r := btf.CORERelocationMetadata(&program.Instructions[i]); r != nil {
			relocations = append(relocations, r)
		}
	}
	anyID := func(btf.Type) (btf.TypeID, error) { return 1, nil }
	fixups, err := btf.CORERelocate(relocations, []*btf.Spec{types}, binary.LittleEndian, anyID)
	if err != nil {
		return err
	}
	var unfit []string
	varies := false
	for i := range fixups {
		what := fmt.Sprint(relocations[i])
		variant := strings.Contains(what, "___")
		switch found := !strings.Contains(fixups[i].String(), "poison"); {
		case found:
			p.relocations++
			varies = varies || variant && strings.Contains(what, "byte_off")
		case !variant:
			unfit = append(unfit, name+": "+what)
		}
	}
	if !varies {
		p.unfit = append(p.unfit, unfit...)
	}
	return nil
}

// hasPlace says whether the kernel has what a tracing program is attached to.
func hasPlace(program *ebpf.ProgramSpec, types *btf.Spec) bool {
	switch program.AttachType {
	case ebpf.AttachTraceRawTp:
		var t *btf.Typedef
		return types.TypeByName("btf_trace_"+program.AttachTo, &t) == nil
	case ebpf.AttachTraceFEntry, ebpf.AttachTraceFExit:
		var f *btf.Func
		return types.TypeByName(program.AttachTo, &f) == nil
	case ebpf.AttachTraceIter:
		var f *btf.Func
		return types.TypeByName("bpf_iter_"+program.AttachTo, &f) == nil
	}
	return true
}

// fetchTypes brings the types of the kernel's image for arm64 into the cache,
// and returns their file's path, which ends in the release.
func fetchTypes(ctx context.Context, k kernel, cache string) (string, error) {
	a, err := newArchive(&k, cache, "arm64")
	if err != nil {
		return "", err
	}
	names, hash, err := a.newest(ctx)
	if err != nil {
		return "", err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "linux-modules-") })
	release := strings.SplitN(names[0], "-", 3)[2] // linux-image-RELEASE
	file := filepath.Join(cache, "types-"+k.name+"-"+hash+"_"+release)
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	temp, err := os.MkdirTemp(a.dir, "unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	tree, err := a.extract(ctx, names, temp)
	if err != nil {
		return "", err
	}
	types, err := findTypes(tree)
	if err != nil {
		return "", fmt.Errorf("%s: %w", names[0], err)
	}
	return file, os.WriteFile(file, types, 0o644)
}

var errNoTypes = errors.New("the kernel's image holds no BTF")

// findTypes cuts the types out of the image, which is not compressed.
func findTypes(tree string) ([]byte, error) {
	var image []byte
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.HasPrefix(entry.Name(), "vmlinuz") {
			image, err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for {
		_, rest, found := bytes.Cut(image, []byte{0x9f, 0xeb, 1, 0}) // magic, version, flags
		if !found {
			return nil, errNoTypes
		}
		image = image[len(image)-len(rest)-4:]
		if types := cutTypes(image); types != nil {
			return types, nil
		}
		image = image[4:]
	}
}

// cutTypes returns the types at the begin of b, or nil if there are none
// (Documentation/bpf/btf.rst, struct btf_header).
func cutTypes(b []byte) []byte {
	const header = 24
	if len(b) < header {
		return nil
	}
	field := func(at int) int { return int(binary.LittleEndian.Uint32(b[at:])) }
	length := field(4) + field(16) + field(20) // the header, then up to the strings' end
	if field(4) != header || length > len(b) {
		return nil
	}
	if _, err := btf.LoadSpecFromReader(bytes.NewReader(b[:length])); err != nil {
		return nil
	}
	return b[:length]
}

// port holds the BPF objects against the same kernels for arm64.
func (m *matrix) port(ctx context.Context) {
	for _, img := range m.images {
		p, err := arm64(ctx, img.kernel, m.options.cache)
		if err != nil {
			m.logf("!!! KERNEL %s FOR ARM64 IS NOT CHECKED: %v", img.kernel.name, err)
			continue
		}
		m.logf("%s for arm64 (%s): %d relocations find what they look for, %d do not", p.name, p.release, p.relocations, len(p.unfit))
		m.ports = append(m.ports, p)
	}
}

// misfits says what does not fit arm64: relocations, and programs that have a
// tracepoint on amd64. Where a function is missing, timers take its place.
func (m *matrix) misfits() (problems []string) {
	for _, p := range m.ports {
		for _, what := range p.unfit {
			problems = append(problems, p.name+" for arm64: "+what)
		}
		for _, r := range m.results {
			for _, name := range p.absent {
				if r.name == p.name && r.verified[name] > 0 && !strings.HasPrefix(name, "tt_f_") {
					problems = append(problems, fmt.Sprintf("%s for arm64 has no tracepoint for %s, which amd64 has", p.name, name))
				}
			}
		}
	}
	return problems
}
