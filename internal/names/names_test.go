package names

import "testing"

func TestResetReason(t *testing.T) {
	for n, want := range map[uint16]string{
		0: "", 1: "NO_SOCKET", 11: "TCP_ABORT_ON_CLOSE", 24: "ERROR", 25: "", 65535: "",
	} {
		if got := ResetReason(n); got != want {
			t.Errorf("ResetReason(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestCAState(t *testing.T) {
	for n, want := range map[uint8]string{0: "Open", 4: "Loss", 5: ""} {
		if got := CAState(n); got != want {
			t.Errorf("CAState(%d) = %q, want %q", n, got, want)
		}
	}
}
