package screen

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// What takes no table takes as many columns as the table says, and is cut alike.
func TestColumns(t *testing.T) {
	for _, s := range []string{
		"", "nginx/812", "a~b", "\x1b[1;33mLISTEN\x1b[m", "\x1b[31", "\x1b[2J", "\x1b]0;x\a", "caf\u00e9", "cafe\u0301", "\u65e5\u672c", "a\tb",
		"\u2588\u0301", "\xe2\x96", "\xff", "\u2580\u2581\u2588\u259f", "\u25a0\u257f", "C\u2550\u2550>", "\x7f", "a\nb", "\u202eevil",
	} {
		if got, want := columns(s), ansi.StringWidth(s); got != want {
			t.Errorf("%q: %d columns, want %d", s, got, want)
		}
		for width := range 8 {
			if got, want := cut(s, width), ansi.Truncate(s, width, "~"); got != want && width > 0 {
				t.Errorf("%q cut to %d columns: %q, want %q", s, width, got, want)
			}
		}
	}
	if got := fit("x", 200); got != "x"+strings.Repeat(" ", 199) {
		t.Errorf("made 200 columns wide: %q", got)
	}
}
