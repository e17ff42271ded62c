//go:build linux

package probe

import (
	"strings"
	"testing"
)

func TestFunctions_NameWhatAReturnAddressLiesIn(t *testing.T) {
	f := functions{base: 0x1000, known: map[int32]string{}, table: parseFunctions(strings.NewReader(`
0000000000000800 t before
0000000000001000 T tw_timer_handler
0000000000001800 d some_data
0000000000002000 t nf_hook_slow.cold
0000000000003000 t br_handle	[bridge]
`))}
	for address, want := range map[uint64]string{
		0x700: "", 0x801: "before", 0x1000: "before", 0x1001: "tw_timer_handler", 0x1801: "tw_timer_handler",
		0x2000: "tw_timer_handler", 0x2001: "nf_hook_slow", 0x3001: "br_handle",
	} {
		if got := f.name(int32(address) - 0x1000); got != want {
			t.Errorf("%#x is in %q, want %q", address, got, want)
		}
	}
	f = functions{}
	if got := f.name(4); got != "" || f.table != nil {
		t.Errorf("hidden addresses name %q", got)
	}
}

func TestToldDrops(t *testing.T) {
	set := toldDrops([]string{3: "NO_SOCKET", 5: "SOCKET_FILTER", 70: "TCP_INVALID_SYN", 300: "FAR_AWAY"})
	if want := [4]uint64{1 << 5, 1 << 6}; set != want {
		t.Errorf("got %x, want %x", set, want)
	}
	if set := toldDrops(nil); set != [4]uint64{} {
		t.Errorf("of no names: %x", set)
	}
}
