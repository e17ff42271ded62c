//go:build linux

package probe

import (
	commandline "flag"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/tcptrace/tcptrace/internal/bpf"
)

var processed = regexp.MustCompile(`processed (\d+) insns`)

// Each program of the set in use is far from the million instructions that the
// verifier walks at most, and from the 4,096 of old. The counts are logged for
// the matrix of kernels, which compares them with its table.
func TestPrograms_Verified(t *testing.T) {
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	sets, err := hookSets(commandline.Lookup("hooks").Value.String())
	if err != nil {
		t.Fatal(err)
	}
	k, err := examineKernel(commandline.Lookup("btf").Value.String())
	if err != nil {
		t.Fatal(err)
	}
	for i := range sets {
		if err := sets[i].usable(k); err != nil {
			t.Logf("hooks %s: %v", sets[i].name, err)
			continue
		}
		verify(t, k, &sets[i])
		return
	}
	t.Fatal("no set of hooks can be used")
}

func verify(t *testing.T, k *kernel, set *hookSet) {
	t.Helper()
	spec, err := bpf.LoadTcptrace()
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{RingBytes: 1 << 16, Stacks: true}
	p := &programs{hooks: append(acceptHooks(false), set.hooks(k)...), absent: map[string]error{}}
	if err := p.choose(spec, k); err != nil {
		t.Fatal(err)
	}
	if err := setRings(spec, ebpf.MustPossibleCPU(), &opts, k.config(set, &opts)); err != nil {
		t.Fatal(err)
	}
	spec.Maps[bpf.TcptraceMapOwners].MaxEntries = 1
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{KernelTypes: k.types, LogLevel: ebpf.LogLevelStats},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer collection.Close()
	names := make([]string, 0, len(collection.Programs))
	for name := range collection.Programs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m := processed.FindStringSubmatch(collection.Programs[name].VerifierLog)
		if m == nil {
			t.Errorf("%s: the verifier does not say how many instructions it walked", name)
			continue
		}
		n, _ := strconv.Atoi(m[1])
		t.Logf("verified %s: %d instructions", name, n)
		if n > 100_000 {
			t.Errorf("%s takes the verifier %d instructions: a tenth of its limit", name, n)
		}
	}
}
