package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

func accepting(n int, errno event.Errno) []event.Event {
	listener := story.NewSocket(0x11, serverAt, "")
	all := []event.Event{listening(nginx)}
	for i := range n {
		all = append(all, failed(listener, 2*s+time.Duration(i)*ms, event.OpAccept, errno, nginx))
	}
	return all
}

var fdExhaustionCases = []ruleCase{{
	name:   "the process's limit",
	events: accepting(7, 24), until: 5 * s,
	want: []string{"critical 7 nginx"},
	says: []string{"7 calls of accept() failed with EMFILE", "RLIMIT_NOFILE"},
}, {
	name:   "the host's limit",
	events: accepting(1, 23), until: 5 * s,
	want: []string{"critical 1 nginx"},
	says: []string{"ENFILE", "fs.file-max"},
}, {
	name:   "nothing to accept yet",
	events: accepting(7, 11), until: 5 * s,
}}
