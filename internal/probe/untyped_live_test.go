//go:build linux

package probe_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
)

const ownTypes = "/sys/kernel/btf/vmlinux"

// A kernel without types of its own is traced with those of a file, by raw
// tracepoints. Here they are this kernel's own: what it is told is not used.
func TestLive_TypesOfAFile(t *testing.T) {
	for _, story := range []string{"half-close", "orphan-fin-wait2-fin", "time-wait-reuse-syn", "syn-cookies", "slow-handshake"} {
		t.Run(story, func(t *testing.T) {
			truth, seen := watch(t, story, lab.Params{}, probe.Options{BTF: ownTypes, Hooks: probe.HooksTimers})
			compare(t, truth, seen)
		})
	}
}

// Types by which a socket of ours is not seen as it is are refused: all that they
// would show is wrong.
func TestOpen_TypesOfAnotherKernel(t *testing.T) {
	types, err := btf.LoadSpec(ownTypes)
	if err != nil {
		t.Fatal(err)
	}
	var common *btf.Struct
	if err := types.TypeByName("sock_common", &common); err != nil {
		t.Fatal(err)
	}
	for i := range common.Members {
		if name := common.Members[i].Name; name == "skc_cookie" || name == "skc_net" {
			common.Members[i].Offset += 64 // as if there were one more before it
		}
	}
	builder, err := btf.NewBuilder([]btf.Type{common}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for typ, err := range types.All() {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := builder.Add(typ); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := builder.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "btf")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := probe.Open(probe.Options{BTF: file})
	if err == nil {
		source.Close()
		t.Fatal("the types of another kernel were taken")
	}
	if !strings.Contains(err.Error(), "another kernel") {
		t.Error(err)
	}
	t.Log(err)
}
