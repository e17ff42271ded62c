package assert

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"no CLOSE_WAIT > 5s":                  "CLOSE_WAIT <= 5s",
		"no close-wait>=1m30s":                "CLOSE_WAIT < 1m30s",
		"resets = 0":                          "resets = 0",
		"no resets":                           "resets = 0",
		"no reset":                            "resets = 0",
		"No SYN_SENT":                         "SYN_SENT = 0",
		"TIME_WAIT<=100":                      "TIME_WAIT <= 100",
		"connections == 7":                    "connections = 7",
		"retransmits != 3":                    "retransmits != 3",
		"no retransmits_rto":                  "retransmits_rto = 0",
		"no close-wait-leak":                  "close-wait-leak = 0",
		"no findings by nginx":                "findings = 0 by nginx",
		"handshake < 50ms":                    "handshake < 50ms",
		"  p99   ESTABLISHED  <  2s ":         "p99 ESTABLISHED < 2s",
		"max accept_wait <= 10ms port 443":    "max accept_wait <= 10ms port 443",
		"clients >= 2 by curl port 8080":      "clients >= 2 by curl port 8080",
		"total life > 0s":                     "total life > 0s",
		"no CLOSE_WAIT > 0s port 80 by nginx": "CLOSE_WAIT <= 0s by nginx port 80",
	} {
		a, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := meaning(a); got != want {
			t.Errorf("%q is read as %q, want %q", text, got, want)
		}
	}
}

// meaning spells what an assertion requires.
func meaning(a *Assertion) string {
	words := []string{a.Subject(), string(a.op)}
	if a.Timed() {
		words = append(words, strings.Replace(a.length.String(), "m0s", "m", 1))
	} else {
		words = append(words, itoa(a.number))
	}
	if a.comm != "" {
		words = append(words, "by", a.comm)
	}
	if a.port != 0 {
		words = append(words, "port", itoa(uint64(a.port)))
	}
	return strings.Join(words, " ")
}

// Who mistypes is told what to write.
func TestParse_Mistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                              `it is empty; write for example "resets = 0" or "no CLOSE_WAIT > 5s"`,
		"no":                            `of what is there to be none? write for example "no resets"`,
		"no CLOSEWAIT > 5s":             `"CLOSEWAIT" is not known; did you mean CLOSE_WAIT?`,
		"restes = 0":                    `"restes" is not known; did you mean resets?`,
		"no close-wait-leek":            `"close-wait-leek" is not known; did you mean close-wait-leak?`,
		"resets":                        `compare resets with something, as in "resets = 0", or write "no resets"`,
		"resets =":                      `what is resets to be compared with? write a number, or a time such as 5s`,
		"resets is 0":                   `"is" does not compare; write one of = != < <= > >=`,
		"resets => 0":                   `"=>" does not compare; write one of = != < <= > >=`,
		"resets = none":                 `"none" is neither a number nor a time; write for example 0, or 5s, 200ms, 1m30s`,
		"resets = -1":                   `"-1" is neither a number nor a time; write for example 0, or 5s, 200ms, 1m30s`,
		"resets < 5s":                   `resets is a number, and "5s" a time; write a number`,
		"handshake < 5":                 `"5" has no unit; handshake is a time: write 5s, or 5ms for milliseconds`,
		"p99 CLOSE_WAIT < 5":            `"5" has no unit; write 5s, or 5ms for milliseconds`,
		"no CLOSE_WAIT > 5":             `"no" is compared with a time; write "CLOSE_WAIT <= 5", or give 5 a unit: 5s`,
		"CLOSE_WAIT = 5s":               `no time is the same to the nanosecond; compare it with < <= > or >=`,
		"no handshake":                  `handshake is a time; compare it, as in "no handshake > 5s"`,
		"no p99 CLOSE_WAIT > 1s":        `"no" and "p99" do not go together; leave out one of them`,
		"resets = 0 in CLOSE":           `what is "in" behind it? only "by NAME" and "port N" may follow`,
		"resets = 0 port http":          `port: "http" is not a port number; write 1 to 65535, comma-separated`,
		"no findings port 80":           `a finding has no port; leave out "port", or select connections with --port`,
		"no CLOSE_WAIT > 5s 'x'":        `what is "'x'" behind it? only "by NAME" and "port N" may follow`,
		"no CLOSE_WAIT > -5s":           `"-5s" is neither a number nor a time; write for example 0, or 5s, 200ms, 1m30s`,
		"resets = 99999999999999999999": `"99999999999999999999" is neither a number nor a time; write for example 0, or 5s, 200ms, 1m30s`,
	} {
		a, err := Parse(text)
		if err == nil {
			t.Errorf("%q is read as %q, want an error", text, meaning(a))
			continue
		}
		if _, got, _ := strings.Cut(err.Error(), `": `); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("no CLOSE_WAIT > 5s by nginx port 443")
	f.Add("p99 handshake<=50ms")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if (a == nil) == (err == nil) {
			t.Errorf("%v, %v", a, err)
		}
	})
}
