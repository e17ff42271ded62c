package export

import (
	"strings"
	"unicode/utf8"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// text makes of bytes that anybody chose what Parquet's STRING demands, UTF-8.
// What is not is U+FFFD, as in the JSON records.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

func commOf(t *event.Task) string {
	n := 0
	for n < len(t.Comm) && t.Comm[n] != 0 {
		n++
	}
	return text(string(t.Comm[:n]))
}

// bound is null for what is exact.
func bound(b conn.Bound) string {
	return [...]string{conn.Exact: "", conn.AtLeast: "at_least", conn.AtMost: "at_most", conn.Unbound: "unknown"}[b]
}
