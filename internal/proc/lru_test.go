package proc

import "testing"

func TestLRU_ForgetsWhatWasUnusedLongest(t *testing.T) {
	l := newLRU[int, string](3)
	l.put(1, "one")
	l.put(2, "two")
	l.put(3, "three")
	l.get(1)
	l.put(2, "TWO")
	l.put(4, "four") // in the place of 3
	l.put(5, "five") // in the place of 1
	for key, want := range map[int]string{1: "", 2: "TWO", 3: "", 4: "four", 5: "five"} {
		if got, ok := l.get(key); got != want || ok != (want != "") {
			t.Errorf("get(%d) = %q, %v, want %q", key, got, ok, want)
		}
	}
	if len(l.entries) != 3 {
		t.Errorf("%d entries, want 3", len(l.entries))
	}
}

func TestLRU_StaysBounded(t *testing.T) {
	l := newLRU[int, int](7)
	for i := range 1009 {
		l.put(i, i)
	}
	listed := 0
	for e := l.ends.next; e != &l.ends; e = e.next {
		if want := 1008 - listed; e.key != want {
			t.Errorf("entry %d is %d, want %d", listed, e.key, want)
		}
		listed++
	}
	if listed != 7 || len(l.entries) != 7 {
		t.Errorf("%d listed, %d entries, want 7", listed, len(l.entries))
	}
}
