package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// The types lie somewhere in the image, and their magic number elsewhere too.
func TestFindTypes(t *testing.T) {
	builder, err := btf.NewBuilder([]btf.Type{&btf.Int{Name: "int", Size: 4}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	types, err := builder.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	image := bytes.Join([][]byte{[]byte("MZ"), {0x9f, 0xeb, 1, 0}, []byte("no types"), types, []byte("more")}, nil)
	if err := os.WriteFile(filepath.Join(tree, "vmlinuz-6.1"), image, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := findTypes(tree)
	if err != nil || !bytes.Equal(got, types) {
		t.Errorf("found %d bytes and %v, want the %d of the types", len(got), err, len(types))
	}
}

func TestFindTypes_None(t *testing.T) {
	if _, err := findTypes(t.TempDir()); err != errNoTypes {
		t.Errorf("got %v, want %v", err, errNoTypes)
	}
}

// A program has a place where the kernel has its tracepoint, or its function.
func TestHasPlace(t *testing.T) {
	builder, err := btf.NewBuilder([]btf.Type{&btf.Typedef{Name: "btf_trace_timer_start", Type: &btf.Int{Name: "int", Size: 4}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := builder.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	types, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		attach ebpf.AttachType
		to     string
		want   bool
	}{
		{ebpf.AttachTraceRawTp, "timer_start", true},
		{ebpf.AttachTraceRawTp, "timer_cancel", false},
		{ebpf.AttachTraceFEntry, "tcp_connect", false},
		{ebpf.AttachCGroupSockOps, "", true},
	} {
		if got := hasPlace(&ebpf.ProgramSpec{AttachType: c.attach, AttachTo: c.to}, types); got != c.want {
			t.Errorf("%v %s: %v, want %v", c.attach, c.to, got, c.want)
		}
	}
}
