package record

import (
	"net/netip"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// A writer appends JSON to a buffer, member by member, without reflection and
// without allocating. Names of members are ours and need no escaping.
type writer struct{ b []byte }

// name begins a member; a value must follow.
func (w *writer) name(name string) {
	w.comma()
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

// comma separates an element from the one before it, if there is one.
func (w *writer) comma() {
	if last := w.b[len(w.b)-1]; last != '{' && last != '[' {
		w.b = append(w.b, ',')
	}
}

func (w *writer) open(name string, bracket byte) {
	w.name(name)
	w.b = append(w.b, bracket)
}

func (w *writer) close(bracket byte) { w.b = append(w.b, bracket) }

// word writes a member whose value is one of our own words, unless it is "".
func (w *writer) word(name, value string) {
	if value == "" {
		return
	}
	w.name(name)
	w.b = append(w.b, '"')
	w.b = append(w.b, value...)
	w.b = append(w.b, '"')
}

// text writes a member whose value may hold anything, unless it is empty.
func (w *writer) text(name, value string) {
	if len(value) == 0 {
		return
	}
	w.name(name)
	w.b = appendString(w.b, value)
}

func (w *writer) int(name string, value int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, value, 10)
}

func (w *writer) uint(name string, value uint64) {
	w.name(name)
	w.b = strconv.AppendUint(w.b, value, 10)
}

func (w *writer) hex(name string, value uint64) {
	w.name(name)
	w.b = append(w.b, '"')
	w.b = strconv.AppendUint(w.b, value, 16)
	w.b = append(w.b, '"')
}

func (w *writer) bool(name string, value bool) {
	w.name(name)
	w.b = strconv.AppendBool(w.b, value)
}

// time writes RFC 3339 with all nine digits, so that texts sort as times do.
func (w *writer) time(name string, t time.Time) {
	w.name(name)
	w.b = append(w.b, '"')
	w.b = t.UTC().AppendFormat(w.b, time.RFC3339) // this layout has a fast path
	w.b = append(w.b[:len(w.b)-1], '.')
	for digit := 100_000_000; digit > 0; digit /= 10 {
		w.b = append(w.b, '0'+byte(t.Nanosecond()/digit%10))
	}
	w.b = append(w.b, 'Z', '"')
}

// endpoint writes "ip:port" or "[ip]:port", and nothing where the address or
// the port is not known.
func (w *writer) endpoint(name string, e netip.AddrPort) {
	if !e.IsValid() || e.Port() == 0 {
		return
	}
	w.name(name)
	w.b = append(w.b, '"')
	w.b = netip.AddrPortFrom(e.Addr().Unmap(), e.Port()).AppendTo(w.b)
	w.b = append(w.b, '"')
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD, as in encoding/json; whatever is not printable is escaped, so that a
// terminal shows it and does not obey it.
func appendString(b []byte, s string) []byte {
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
