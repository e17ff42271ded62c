package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

var lastAckStuckCases = []ruleCase{{
	name:   "no answer to the second FIN",
	events: unanswered(5, tcp.LastAck, tcp.CloseWait), until: 10 * s,
	sysctls: sysctls{"net.ipv4.tcp_orphan_retries": "0"},
	want:    []string{"warning 5 shop"},
	says:    []string{"5 connections in LAST_ACK", "20 segments sent again"},
}, {
	name: "closed in order",
	events: each(101, func(i int, _, server story.Socket) []event.Event {
		return healthy(server, time.Duration(i+1)*10*ms, shop)
	}),
	until: 30 * s,
}}
