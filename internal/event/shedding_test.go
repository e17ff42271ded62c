package event

import "testing"

// Cookies that are counted up fall into each sample as often as they should, and
// a smaller sample is a part of each larger one.
func TestShedding_SamplesAreFairAndNested(t *testing.T) {
	const n = 1 << 16
	for sockets := uint8(1); sockets <= 10; sockets++ {
		s, larger := Shedding{Sockets: sockets}, Shedding{Sockets: sockets - 1}
		told := 0
		for cookie := uint64(1); cookie <= n; cookie++ {
			if s.Tells(cookie) {
				told++
				if !larger.Tells(cookie) {
					t.Fatalf("cookie %d is in the sample of 1 in %d only", cookie, s.Weight())
				}
			}
		}
		if want := n / int(s.Weight()); told < want*8/10 || told > want*12/10 {
			t.Errorf("1 in %d: %d of %d", s.Weight(), told, n)
		}
	}
	if !(Shedding{Sockets: 10}).Tells(0) {
		t.Error("a socket without a cookie is left out")
	}
}
