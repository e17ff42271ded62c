// Package member writes JSON objects member by member, without reflection and
// without allocating. What anybody may have chosen is escaped so that a terminal
// shows it and does not obey it.
package member

import (
	"net/netip"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Writer appends JSON to a buffer. Names of members are ours and need no escaping.
type Writer struct{ B []byte }

// Name begins a member; a value must follow.
func (w *Writer) Name(name string) {
	w.Comma()
	w.B = append(w.B, '"')
	w.B = append(w.B, name...)
	w.B = append(w.B, '"', ':')
}

// Comma separates an element from the one before it, if there is one.
func (w *Writer) Comma() {
	if last := w.B[len(w.B)-1]; last != '{' && last != '[' {
		w.B = append(w.B, ',')
	}
}

// Open begins a member that is an object or a list, whose bracket that is; Close ends
// it with the other.
func (w *Writer) Open(name string, bracket byte) {
	w.Name(name)
	w.B = append(w.B, bracket)
}

// Close ends an object or a list.
func (w *Writer) Close(bracket byte) { w.B = append(w.B, bracket) }

// Word writes a member whose value is one of our own words, unless it is "".
func (w *Writer) Word(name, value string) {
	if value == "" {
		return
	}
	w.Name(name)
	w.B = append(w.B, '"')
	w.B = append(w.B, value...)
	w.B = append(w.B, '"')
}

// Text writes a member whose value may hold anything, unless it is empty.
func (w *Writer) Text(name, value string) {
	if len(value) == 0 {
		return
	}
	w.Name(name)
	w.B = AppendString(w.B, value)
}

// Int writes a member that is a signed number.
func (w *Writer) Int(name string, value int64) {
	w.Name(name)
	w.B = strconv.AppendInt(w.B, value, 10)
}

// Uint writes a member that is an unsigned number.
func (w *Writer) Uint(name string, value uint64) {
	w.Name(name)
	w.B = strconv.AppendUint(w.B, value, 10)
}

// Hex writes a member that is a number as text, in hexadecimal.
func (w *Writer) Hex(name string, value uint64) {
	w.Name(name)
	w.B = append(w.B, '"')
	w.B = strconv.AppendUint(w.B, value, 16)
	w.B = append(w.B, '"')
}

// Bool writes a member that is true or false.
func (w *Writer) Bool(name string, value bool) {
	w.Name(name)
	w.B = strconv.AppendBool(w.B, value)
}

// Time writes RFC 3339 with all nine digits, so that texts sort as times do.
func (w *Writer) Time(name string, t time.Time) {
	w.Name(name)
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	w.B = append(w.B, '"')
	w.digits(year, 1000)
	w.B = append(w.B, '-')
	w.digits(int(month), 10)
	w.B = append(w.B, '-')
	w.digits(day, 10)
	w.B = append(w.B, 'T')
	w.digits(hour, 10)
	w.B = append(w.B, ':')
	w.digits(minute, 10)
	w.B = append(w.B, ':')
	w.digits(second, 10)
	w.B = append(w.B, '.')
	w.digits(t.Nanosecond(), 100_000_000)
	w.B = append(w.B, 'Z', '"')
}

// digits writes n from the digit of this unit on, zeros included.
func (w *Writer) digits(n, unit int) {
	for ; unit > 0; unit /= 10 {
		w.B = append(w.B, '0'+byte(n/unit%10))
	}
}

// Endpoint writes "ip:port" or "[ip]:port", and nothing where the address or
// the port is not known.
func (w *Writer) Endpoint(name string, e netip.AddrPort) {
	if !e.IsValid() || e.Port() == 0 {
		return
	}
	w.Name(name)
	w.B = append(w.B, '"')
	w.B = netip.AddrPortFrom(e.Addr().Unmap(), e.Port()).AppendTo(w.B)
	w.B = append(w.B, '"')
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD, as in encoding/json; whatever is not printable is escaped, so that a
// terminal shows it and does not obey it.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	for len(s) > 0 {
		c := s[0]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= ' ' && c < 0x7f:
			b = append(b, c)
		case c < utf8.RuneSelf:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			r, size := utf8.DecodeRuneInString(s)
			b = appendRune(b, r)
			s = s[size:]
			continue
		}
		s = s[1:]
	}
	return append(b, '"')
}

func appendRune(b []byte, r rune) []byte {
	if unicode.IsPrint(r) {
		return utf8.AppendRune(b, r)
	}
	if r > 0xffff {
		r -= 0x10000
		b = appendEscape(b, 0xd800+r>>10)
		return appendEscape(b, 0xdc00+r&0x3ff)
	}
	return appendEscape(b, r)
}

func appendEscape(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
