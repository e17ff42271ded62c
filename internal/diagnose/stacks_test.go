package diagnose_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

// callers know where each socket was opened, by its cookie.
type callers map[uint64]string

func (c callers) Stack(id event.ID) (call string, functions []string) {
	if name, ok := c[id.Cookie]; ok {
		return "accept", []string{name, "main.main"}
	}
	return "", nil
}

// A finding tells the stack that most of its connections have, of as many as are
// looked at, and how many those are.
func TestStacks(t *testing.T) {
	for _, test := range []struct {
		name  string
		n     int
		where func(i int) string // "" is not known
		want  *diagnose.CallStack
	}{
		{"all from one place", 7, func(int) string { return "main.serve" },
			&diagnose.CallStack{Call: "accept", Functions: []string{"main.serve", "main.main"}, Count: 7, Of: 7}},
		{"from two", 7, func(i int) string { return fmt.Sprint("main.serve", i%3/2) },
			&diagnose.CallStack{Call: "accept", Functions: []string{"main.serve0", "main.main"}, Count: 5, Of: 7}},
		{"some are not known", 7, func(i int) string { return map[bool]string{true: "main.serve"}[i > 4] },
			&diagnose.CallStack{Call: "accept", Functions: []string{"main.serve", "main.main"}, Count: 2, Of: 7}},
		{"none is known", 7, func(int) string { return "" }, nil},
		{"many", 101, func(int) string { return "main.serve" },
			&diagnose.CallStack{Call: "accept", Functions: []string{"main.serve", "main.main"}, Count: 64, Of: 64}},
	} {
		t.Run(test.name, func(t *testing.T) {
			known := callers{}
			for i, id := range holding(test.n).sockets {
				if name := test.where(i); name != "" {
					known[id.Cookie] = name
				}
			}
			e := diagnose.New(diagnose.Options{Stacks: known})
			story.Tell(leaking(test.n), 10*s, e.Handle)
			e.Advance(event.Time(10 * s))
			all := e.Findings()
			if len(all) != 1 {
				t.Fatalf("it finds %v", words(all))
			}
			if diff := cmp.Diff(test.want, all[0].Stack); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
