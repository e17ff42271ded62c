package suggest

import "testing"

func TestClosest(t *testing.T) {
	words := []string{"watch", "conns", "doctor", "ESTABLISHED", "TIME_WAIT", "CLOSE", "CLOSE_WAIT"}
	for word, want := range map[string]string{
		"wacth":     "watch",
		"con":       "conns",
		"docter":    "doctor",
		"timewait":  "TIME_WAIT",
		"ESTAB":     "ESTABLISHED",
		"CLOSED":    "CLOSE",
		"closewait": "CLOSE_WAIT",
		"zebra":     "",
		"":          "",
		"x":         "",
	} {
		if got := Closest(word, words); got != want {
			t.Errorf("Closest(%q) = %q, want %q", word, got, want)
		}
	}
}
