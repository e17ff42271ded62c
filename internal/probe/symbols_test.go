//go:build linux

package probe

import (
	"errors"
	"strings"
	"testing"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const image = `0000000000001000 A fixed_percpu_data
ffffffff81000000 T _text
ffffffff81001000 t __mod_timer
ffffffff81001200 t __run_timers.part.0
ffffffff81001400 D tcp_abort
ffffffff81001500 T tcp_v4_rcv
ffffffff81001600 t inet_twsk_kill
ffffffff81001700 T tw_timer_handler
ffffffff81001800 T tcp_timewait_state_process
ffffffff81001900 T __inet_hash_connect
ffffffff81001a00 T inet_twsk_purge
ffffffffc0000000 t tcp_v6_rcv	[ipv6]
`

func parse(t *testing.T, text string) *symbols {
	t.Helper()
	s, err := parseSymbols(strings.NewReader(text), symbolNames())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSymbols_FunctionsEndWhereTheNextSymbolBegins(t *testing.T) {
	s := parse(t, image)
	for address, want := range map[uint64]string{
		0xffffffff81000fff: "",
		0xffffffff81001000: "__mod_timer",
		0xffffffff810011ff: "__mod_timer",
		0xffffffff81001200: "__run_timers", // a clone that the compiler made
		0xffffffff81001400: "__run_timers", // data does not end a function
		0xffffffff81001500: "tcp_v4_rcv",
		0xffffffff81001600: "", // not one of ours
		0xffffffff81001700: "tw_timer_handler",
		0xffffffffc0000000: "inet_twsk_purge", // modules are not read
	} {
		if got := s.at(address); got != want {
			t.Errorf("at %#x: got %q, want %q", address, got, want)
		}
	}
	if got := s.address("tw_timer_handler"); got != 0xffffffff81001700 {
		t.Errorf("tw_timer_handler: got %#x", got)
	}
	if got := s.address("reqsk_timer_handler"); got != 0 {
		t.Errorf("a function that this kernel lacks: got %#x, want 0", got)
	}
}

func TestSymbols_HiddenAddresses(t *testing.T) {
	hidden := "0000000000000000 T _text\n0000000000000000 t __mod_timer\n"
	if _, err := parseSymbols(strings.NewReader(hidden), symbolNames()); !errors.Is(err, errHidden) {
		t.Errorf("got error %v, want errHidden", err)
	}
	var none *symbols
	if none.address("tw_timer_handler") != 0 || none.at(1) != "" {
		t.Error("no symbols: want no addresses and no names")
	}
}

// framesOf makes the frames of a stack from addresses in image.
func framesOf(addresses ...uint64) (frames bpf.Frames) {
	const base = 0xffffffff81001700 // tw_timer_handler
	for i, address := range addresses {
		frames[i] = int32(address - base)
	}
	return frames
}

func TestEndCause(t *testing.T) {
	const (
		rearm    = 0xffffffff81001010
		wheel    = 0xffffffff81001210
		receive  = 0xffffffff81001510
		process  = 0xffffffff81001810
		connect  = 0xffffffff81001910
		purge    = 0xffffffff81001a10
		stranger = 0xffffffff81001610
	)
	s := parse(t, image)
	for _, test := range []struct {
		name     string
		frames   bpf.Frames
		substate tcp.State
		want     event.Cause
		ended    bool
	}{
		{"armed again by a FIN", framesOf(stranger, rearm, process, receive), tcp.TimeWait, event.CauseUnknown, false},
		{"ran out", framesOf(stranger, wheel), tcp.TimeWait, event.CauseExpired, true},
		{"RST", framesOf(stranger, process, receive), tcp.TimeWait, event.CauseReset, true},
		{"the peer's new SYN", framesOf(stranger, receive), tcp.TimeWait, event.CauseReused, true},
		{"data for a closed socket", framesOf(stranger, receive), tcp.FinWait2, event.CauseReset, true},
		{"our own connect", framesOf(stranger, connect), tcp.TimeWait, event.CauseReused, true},
		{"namespace deleted", framesOf(stranger, purge), tcp.TimeWait, event.CauseNetnsExit, true},
		{"unknown", framesOf(stranger), tcp.TimeWait, event.CauseUnknown, true},
	} {
		cause, ended := s.endCause(&test.frames, test.substate)
		if cause != test.want || ended != test.ended {
			t.Errorf("%s: got %q, %v; want %q, %v", test.name, cause, ended, test.want, test.ended)
		}
	}
}
