package tcp

import (
	"strings"
	"testing"
)

// legalMatrix is written from RFC 9293 and the kernel's source, apart from the
// table that it tests: one row for each state before, one column for each
// state after. "x" is legal.
const legalMatrix = `
             UNKNOWN ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN CLOSING
UNKNOWN      -       -           -        -        -         -         -         -     -          -        -      -
ESTABLISHED  -       -           -        -        x         -         -         x     x          -        -      -
SYN_SENT     -       x           -        x        -         -         -         x     -          -        -      -
SYN_RECV     -       x           -        -        x         -         -         x     x          -        -      -
FIN_WAIT1    -       -           -        -        -         x         -         x     -          -        -      x
FIN_WAIT2    -       -           -        -        -         -         x         x     -          -        -      -
TIME_WAIT    -       -           -        -        -         -         -         x     -          -        -      -
CLOSE        -       -           x        -        -         -         -         -     -          -        x      -
CLOSE_WAIT   -       -           -        -        -         -         -         x     -          x        -      -
LAST_ACK     -       -           -        -        -         -         -         x     -          -        -      -
LISTEN       -       -           -        x        -         -         -         x     -          -        -      -
CLOSING      -       -           -        -        -         -         x         x     -          -        -      -
`

func TestLegal_AllPairs(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(legalMatrix), "\n")
	columns := strings.Fields(lines[0])
	if len(lines) != NumStates+1 || len(columns) != NumStates {
		t.Fatalf("matrix of %d rows and %d columns, want %d each", len(lines)-1, len(columns), NumStates)
	}
	pairs := 0
	for _, line := range lines[1:] {
		row := strings.Fields(line)
		from := mustState(t, row[0])
		for i, cell := range row[1:] {
			to := mustState(t, columns[i])
			if got, want := Legal(from, to), cell == "x"; got != want {
				t.Errorf("Legal(%v, %v) = %v, want %v", from, to, got, want)
			}
			pairs++
		}
	}
	if pairs != NumStates*NumStates {
		t.Errorf("%d pairs tested, want %d", pairs, NumStates*NumStates)
	}
}

func mustState(t *testing.T, name string) State {
	t.Helper()
	if name == "UNKNOWN" {
		return Unknown
	}
	s, err := ParseState(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLegal_NoState(t *testing.T) {
	for _, s := range []State{NumStates, 15, 16, 200, 255} {
		for other := Unknown; other < NumStates; other++ {
			if Legal(s, other) || Legal(other, s) {
				t.Errorf("a transition between STATE(%d) and %v is called legal", uint8(s), other)
			}
		}
	}
}

// Every state can be reached from CLOSE, and CLOSE from every state: none is
// left out of the table.
func TestLegal_EveryStateIsOnAPath(t *testing.T) {
	for _, s := range States() {
		if !reaches(Close, s) {
			t.Errorf("%v cannot be reached from CLOSE", s)
		}
		if !reaches(s, Close) {
			t.Errorf("CLOSE cannot be reached from %v", s)
		}
	}
}

func reaches(from, to State) bool {
	var seen [NumStates]bool
	seen[from] = true
	queue := []State{from}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		for n := Unknown; n < NumStates; n++ {
			if !Legal(s, n) {
				continue
			}
			if n == to {
				return true
			}
			if !seen[n] {
				seen[n] = true
				queue = append(queue, n)
			}
		}
	}
	return false
}
