package tcp

import "testing"

// The numbers are the kernel's (include/net/tcp_states.h): a state is read
// from a record without translation.
func TestState_KernelNumbers(t *testing.T) {
	want := map[State]string{
		1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1",
		5: "FIN_WAIT2", 6: "TIME_WAIT", 7: "CLOSE", 8: "CLOSE_WAIT",
		9: "LAST_ACK", 10: "LISTEN", 11: "CLOSING",
	}
	for s, name := range want {
		if s.String() != name {
			t.Errorf("state %d is %q, want %q", uint8(s), s, name)
		}
		if !s.Valid() {
			t.Errorf("%v is not valid", s)
		}
	}
	if len(States()) != len(want) {
		t.Errorf("States() lists %d states, want %d", len(States()), len(want))
	}
	for _, s := range []State{0, 12, 255} {
		if s.Valid() {
			t.Errorf("state %d is valid", uint8(s))
		}
	}
	if got := State(12).String(); got != "STATE(12)" {
		t.Errorf("state 12 prints as %q", got)
	}
}

func TestParseState(t *testing.T) {
	for _, s := range States() {
		if got, err := ParseState(s.String()); err != nil || got != s {
			t.Errorf("ParseState(%q) = %v, %v", s, got, err)
		}
	}
	spellings := map[string]State{
		"time-wait": TimeWait, "Time_Wait": TimeWait, "TIME-WAIT": TimeWait,
		"fin_wait1": FinWait1, "close-wait": CloseWait, "listen": Listen, "close": Close,
	}
	for name, want := range spellings {
		if got, err := ParseState(name); err != nil || got != want {
			t.Errorf("ParseState(%q) = %v, %v, want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "UNKNOWN", "TIMEWAIT", " LISTEN", "LISTEN ", "STATE(3)", "1", "état"} {
		if got, err := ParseState(name); err == nil {
			t.Errorf("ParseState(%q) = %v, want an error", name, got)
		}
	}
}
