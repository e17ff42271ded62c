package event

import "testing"

func TestErrno_String(t *testing.T) {
	for errno, want := range map[Errno]string{
		0: "", EPIPE: "EPIPE", 64: "ENONET", 99: "EADDRNOTAVAIL", 104: "ECONNRESET", 110: "ETIMEDOUT",
		111: "ECONNREFUSED", 60: "errno_60", 4095: "errno_4095",
	} {
		if got := errno.String(); got != want {
			t.Errorf("%d is %q, want %q", uint16(errno), got, want)
		}
	}
}
