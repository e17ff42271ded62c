package render

import (
	"bytes"
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// rightToLeft lists the scripts that make a terminal reorder what follows
// them, the connection's addresses included.
var rightToLeft = []*unicode.RangeTable{
	unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko, unicode.Samaritan,
	unicode.Mandaic, unicode.Adlam, unicode.Mende_Kikakui, unicode.Hanifi_Rohingya,
}

// columns measures text as a terminal shows it, whatever the locale says.
var columns = &runewidth.Condition{}

// Safe returns s, which anybody may have chosen, so that it cannot disturb who
// reads it: what is not printable, not UTF-8, or written from right to left is
// spelled as an escape of ASCII characters.
func Safe(s string) string {
	b, _ := appendSafe(nil, []byte(s), math.MaxInt)
	return string(b)
}

// appendSafe appends s, which anybody may have chosen, so that it cannot
// disturb a terminal: what is not printable, not UTF-8, or written from right
// to left is spelled as an escape of ASCII characters. It uses at most width
// columns, and returns how many; "~" stands for what did not fit.
func appendSafe(b, s []byte, width int) ([]byte, int) {
	if len(s) <= width && printable(s) {
		return append(b, s...), len(s)
	}
	used := 0
	cut, usedAtCut := len(b), 0 // where "~" would go
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		begin, n := len(b), columns.RuneWidth(r)
		if harmless(r, size) {
			b = append(b, s[:size]...)
		} else {
			b = appendEscaped(b, s[:size], r)
			n = len(b) - begin
		}
		used += n
		if used > width {
			return append(b[:cut], '~'), usedAtCut + 1
		}
		if used < width {
			cut, usedAtCut = len(b), used
		}
		s = s[size:]
	}
	return b, used
}

// printable reports whether s is printable ASCII, and no escape: what nearly every
// name is, and a column a byte.
func printable(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
}

func harmless(r rune, size int) bool {
	if r == utf8.RuneError && size == 1 || r == '\\' || !unicode.IsPrint(r) || unicode.IsMark(r) {
		return false
	}
	return r < 0x590 || !unicode.In(r, rightToLeft...)
}

func appendEscaped(b, s []byte, r rune) []byte {
	switch {
	case r == '\\':
		return append(b, `\\`...)
	case len(s) == 1:
		return append(b, '\\', 'x', hexDigits[s[0]>>4], hexDigits[s[0]&15])
	}
	quoted := strconv.QuoteRuneToASCII(r)
	return append(b, quoted[1:len(quoted)-1]...)
}

const hexDigits = "0123456789abcdef"

// comm returns the name that a kernel's comm field holds.
func comm(raw *[16]byte) []byte {
	name, _, _ := bytes.Cut(raw[:], []byte{0})
	return name
}
