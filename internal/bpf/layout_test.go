package bpf

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// wireTypes pairs each C struct that crosses to Go with its Go type.
var wireTypes = map[string]any{
	"tt_head":           TcptraceTtHead{},
	"tt_task":           TcptraceTtTask{},
	"tt_transition":     TcptraceTtTransition{},
	"tt_isn":            TcptraceTtIsn{},
	"tt_handshake":      TcptraceTtHandshake{},
	"tt_request_end":    TcptraceTtRequestEnd{},
	"tt_timewait_begin": TcptraceTtTimewaitBegin{},
	"tt_timewait_end":   TcptraceTtTimewaitEnd{},
	"tt_retransmit":     TcptraceTtRetransmit{},
	"tt_reset":          TcptraceTtReset{},
	"tt_totals":         TcptraceTtTotals{},
	"tt_closed":         TcptraceTtClosed{},
	"tt_drop":           TcptraceTtDrop{},
	"tt_failed":         TcptraceTtFailed{},
	"tt_storm_told":     TcptraceTtStormTold{},
	"tt_counts":         TcptraceTtCounts{},
	"tt_storm_key":      TcptraceTtStormKey{},
	"tt_storm":          TcptraceTtStorm{},
	"tt_queue":          TcptraceTtQueue{},
	"tt_tally":          TcptraceTtTally{},
	"tt_config":         TcptraceTtConfig{},
}

// The object that is embedded was compiled from the C declarations; the Go
// types were generated from it. This compares them member by member, so that
// neither can be replaced alone.
func TestLayout_GoMatchesBTF(t *testing.T) {
	spec, err := LoadTcptrace()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range wireTypes {
		var want *btf.Struct
		if err := spec.Types.TypeByName(name, &want); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		compareLayout(t, name, want, reflect.TypeOf(value))
	}
}

func compareLayout(t *testing.T, name string, want *btf.Struct, got reflect.Type) {
	t.Helper()
	if uintptr(want.Size) != got.Size() {
		t.Errorf("%s: C has %d bytes, Go %d", name, want.Size, got.Size())
	}
	offsets := map[string]uintptr{}
	sizes := map[string]uintptr{}
	for i := range got.NumField() {
		field := got.Field(i)
		offsets[strings.ToLower(field.Name)] = field.Offset
		sizes[strings.ToLower(field.Name)] = field.Type.Size()
	}
	for _, member := range want.Members {
		key := strings.ReplaceAll(member.Name, "_", "")
		offset, ok := offsets[key]
		if !ok {
			if key == "pad" {
				continue
			}
			t.Errorf("%s.%s: not in Go", name, member.Name)
			continue
		}
		if uintptr(member.Offset.Bytes()) != offset {
			t.Errorf("%s.%s: at %d in C, %d in Go", name, member.Name, member.Offset.Bytes(), offset)
		}
		size, err := btf.Sizeof(member.Type)
		if err != nil || uintptr(size) != sizes[key] {
			t.Errorf("%s.%s: %d bytes in C (%v), %d in Go", name, member.Name, size, err, sizes[key])
		}
	}
}

// Records are padded to 8 bytes in the ring and hold no more than 136; padding
// that C adds by itself would carry bytes of the kernel's stack.
func TestLayout_RecordsHaveNoHolesAndFit(t *testing.T) {
	spec, err := LoadTcptrace()
	if err != nil {
		t.Fatal(err)
	}
	for name := range wireTypes {
		var s *btf.Struct
		if err := spec.Types.TypeByName(name, &s); err != nil {
			t.Fatal(err)
		}
		end := uint32(0)
		for _, member := range s.Members {
			if at := member.Offset.Bytes(); at != end {
				t.Errorf("%s: a hole of %d bytes before %s", name, at-end, member.Name)
			}
			size, err := btf.Sizeof(member.Type)
			if err != nil {
				t.Fatal(err)
			}
			end = member.Offset.Bytes() + uint32(size)
		}
		if end != s.Size {
			t.Errorf("%s: a hole of %d bytes at its end", name, s.Size-end)
		}
		if _, isRecord := wireRecords[name]; isRecord && s.Size > 136 {
			t.Errorf("%s: a record of %d bytes", name, s.Size)
		}
	}
}

var wireRecords = map[string]bool{
	"tt_head": true, "tt_transition": true, "tt_timewait_end": true,
	"tt_retransmit": true, "tt_reset": true, "tt_totals": true, "tt_closed": true,
	"tt_drop": true, "tt_timewait_begin": true, "tt_queue": true,
}

func TestLayout_ProgramNamesShowInBpftool(t *testing.T) {
	spec, err := LoadTcptrace()
	if err != nil {
		t.Fatal(err)
	}
	if len(spec.Programs) == 0 {
		t.Fatal("no programs")
	}
	for name := range spec.Programs {
		if len(name) > 15 || !strings.HasPrefix(name, "tt_") {
			t.Errorf("program %s: want tt_ and at most 15 characters", name)
		}
	}
}
