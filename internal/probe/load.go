//go:build linux

package probe

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/bpf"
)

// programs are the loaded and attached hooks with their maps.
type programs struct {
	hooks      []hook
	collection *ebpf.Collection
	links      []link.Link
	byProgram  map[string]link.Link
	absent     map[string]error // by program name: why it is not attached
}

// load loads and attaches the best set of hooks that this kernel takes, or the
// one asked for.
func load(k *kernel, opts *Options) (*programs, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		if hasCapability(unix.CAP_BPF) {
			return nil, fmt.Errorf("lift the limit on locked memory, to which Linux before 5.11 counts BPF's"+
				" (needs CAP_SYS_RESOURCE, or \"ulimit -l unlimited\" before): %w", err)
		}
		return nil, fmt.Errorf("lift the limit on locked memory: %w", explain(err))
	}
	sets, err := hookSets(opts.Hooks)
	if err != nil {
		return nil, err
	}
	var p *programs
	for _, set := range sets {
		if p, err = loadSet(k, &set, opts); err == nil {
			return p, nil
		}
	}
	if opts.Hooks != "" {
		return nil, fmt.Errorf("hooks %q: %w", opts.Hooks, err)
	}
	return nil, err
}

func loadSet(k *kernel, set *hookSet, opts *Options) (*programs, error) {
	if err := set.usable(k); err != nil {
		return nil, err
	}
	p, err := loadHooks(k, set, opts)
	if err != nil {
		return nil, err
	}
	if err := p.attach(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// loadHooks loads every program of the set that this kernel takes. A program
// that is not needed and that the kernel refuses is left out, and the reason
// kept.
func loadHooks(k *kernel, set *hookSet, opts *Options) (*programs, error) {
	spec, err := bpf.LoadTcptrace()
	if err != nil {
		return nil, fmt.Errorf("read the BPF object: %w", err)
	}
	accept := callHooks(opts, k.acceptByCall(opts))
	p := &programs{hooks: ownerHooks(opts, append(accept, set.hooks(k)...)), absent: map[string]error{}, byProgram: map[string]link.Link{}}
	if err := p.choose(spec, k); err != nil {
		return nil, err
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count the processors: %w", err)
	}
	if err := setRings(spec, cpus, opts, k.config(set, opts)); err != nil {
		return nil, err
	}
	spec.Maps[bpf.TcptraceMapTallies].MaxEntries = uint32(cpus)
	if !opts.FiltersProcesses() {
		spec.Maps[bpf.TcptraceMapOwners].MaxEntries = 1
	}
	if !opts.Stacks {
		spec.Maps[bpf.TcptraceMapStacks].MaxEntries = 1
	}
	if !opts.Errors {
		spec.Maps[bpf.TcptraceMapCalls].MaxEntries = 1
		spec.Maps[bpf.TcptraceMapMoreCalls].MaxEntries = 1
	}
	if err := p.loadCollection(spec, k); err != nil {
		return nil, err
	}
	return p, nil
}

// choose leaves in spec only the programs of the hooks that can be used.
func (p *programs) choose(spec *ebpf.CollectionSpec, k *kernel) error {
	all := spec.Programs
	spec.Programs = map[string]*ebpf.ProgramSpec{}
	for i := range p.hooks {
		h := &p.hooks[i]
		if k.untyped != nil {
			h.unType(all[h.program], k.untyped)
		}
		spec.Programs[h.program] = all[h.program]
		if h.usable == nil {
			continue
		}
		if err := h.usable(k); err != nil {
			if h.needed {
				return err
			}
			p.leaveOut(spec, h.program, err)
		}
	}
	return nil
}

func (p *programs) leaveOut(spec *ebpf.CollectionSpec, program string, why error) {
	p.absent[program] = why
	delete(spec.Programs, program)
}

// loadCollection loads what is left of spec. If that does not work as a whole,
// it finds out which programs the kernel refuses.
func (p *programs) loadCollection(spec *ebpf.CollectionSpec, k *kernel) error {
	options := ebpf.CollectionOptions{Cache: k.cache, Programs: ebpf.ProgramOptions{KernelTypes: k.types}}
	var err error
	p.collection, err = ebpf.NewCollectionWithOptions(spec, options)
	if err == nil {
		return nil
	}
	for _, h := range p.hooks {
		if _, left := spec.Programs[h.program]; !left {
			continue
		}
		if err := tryAlone(spec, h.program, options); err != nil {
			if h.needed {
				return fmt.Errorf("load %s: %w", h.program, explain(err))
			}
			p.leaveOut(spec, h.program, err)
		}
	}
	p.collection, err = ebpf.NewCollectionWithOptions(spec, options)
	if err != nil {
		return fmt.Errorf("load the BPF programs: %w", explain(err))
	}
	return nil
}

func tryAlone(spec *ebpf.CollectionSpec, program string, options ebpf.CollectionOptions) error {
	alone := spec.Copy()
	for name := range alone.Programs {
		if name != program {
			delete(alone.Programs, name)
		}
	}
	c, err := ebpf.NewCollectionWithOptions(alone, options)
	if err != nil {
		return err
	}
	c.Close()
	return nil
}

// attach attaches the loaded programs in the order of hooks.
func (p *programs) attach() error {
	for _, h := range p.hooks {
		program, loaded := p.collection.Programs[h.program]
		if !loaded {
			continue
		}
		l, err := p.attachHook(&h, program)
		if err != nil {
			if h.needed {
				return fmt.Errorf("attach %s: %w", h.program, explain(err))
			}
			p.absent[h.program] = err
			continue
		}
		p.links = append(p.links, l)
		p.byProgram[h.program] = l
	}
	return nil
}

func (p *programs) attachHook(h *hook, program *ebpf.Program) (link.Link, error) {
	switch {
	case program.Type() == ebpf.RawTracepoint:
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: h.function(), Program: program})
	case h.over == "":
		return h.attach(program)
	}
	return link.AttachIter(link.IterOptions{Program: program, Map: p.collection.Maps[h.over]})
}

// iterator returns an attached program that user space runs, or nil.
func (p *programs) iterator(program string) *link.Iter {
	it, _ := p.byProgram[program].(*link.Iter)
	return it
}

// detach detaches every program, the last attached first, but for the iterators,
// which user space runs. No event is written after it returns but theirs.
func (p *programs) detach() error {
	var errs []error
	var left []link.Link
	for _, l := range slices.Backward(p.links) {
		if _, ours := l.(*link.Iter); ours {
			left = append(left, l)
			continue
		}
		errs = append(errs, l.Close())
	}
	p.links = left
	return errors.Join(errs...)
}

func (p *programs) close() error {
	errs := []error{p.detach()}
	for _, l := range p.links {
		errs = append(errs, l.Close())
	}
	p.links = nil
	p.collection.Close()
	return errors.Join(errs...)
}
