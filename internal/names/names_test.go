package names

import "testing"

func TestCAState(t *testing.T) {
	for n, want := range map[uint8]string{0: "Open", 4: "Loss", 5: ""} {
		if got := CAState(n); got != want {
			t.Errorf("CAState(%d) = %q, want %q", n, got, want)
		}
	}
}
