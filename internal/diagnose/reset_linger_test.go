package diagnose_test

import (
	"github.com/tcptrace/tcptrace/internal/story"
)

var resetLingerCases = []ruleCase{{
	name:   "a process with SO_LINGER 0",
	events: resets(23, "TCP_STATE", lingerFacts), until: 5 * s,
	want: []string{"warning 23 shop"},
	says: []string{"23 connections closed by RST, with SO_LINGER 0"},
}, {
	name:   "a health check or two",
	events: story.Join(amid(100), resets(2, "TCP_STATE", lingerFacts)), until: 5 * s,
	want: []string{"info 2 shop"},
}, {
	name:   "unread data is another thing",
	events: resets(23, "TCP_ABORT_ON_CLOSE", unreadFacts), until: 5 * s,
}}
