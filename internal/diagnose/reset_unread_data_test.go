package diagnose_test

import (
	"github.com/tcptrace/tcptrace/internal/story"
)

var resetUnreadDataCases = []ruleCase{{
	name:   "a server that does not read to the end",
	events: resets(23, "TCP_ABORT_ON_CLOSE", unreadFacts), until: 5 * s,
	want: []string{"warning 23 shop"},
	says: []string{"23 connections closed with data unread", "100% of those"},
}, {
	name:   "11 of 411",
	events: story.Join(amid(400), resets(11, "TCP_ABORT_ON_CLOSE", unreadFacts)), until: 5 * s,
	want: []string{"info 11 shop"},
}, {
	name:   "SO_LINGER is another thing",
	events: resets(23, "TCP_STATE", lingerFacts), until: 5 * s,
}}
