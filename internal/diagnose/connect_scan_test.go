package diagnose_test

import (
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

// scan tries n ports of one host.
func scan(n int, by event.Task) []event.Event {
	var all []event.Event
	for i := range n {
		client := story.NewSocket(uint64(0xc0000+i), "10.0.0.1:"+strconv.Itoa(40000+i), "10.9.8.7:"+strconv.Itoa(1+i))
		all = append(all, refused(client, 1*s+time.Duration(i)*10*ms, by)...)
	}
	return all
}

var connectScanCases = []ruleCase{{
	name:   "1,009 ports of one host",
	events: scan(1009, shop), until: 15 * s,
	want: []string{"warning 1009 shop"},
	says: []string{"1,009 addresses and ports of 1 host", "1,009 refused"},
}, {
	name: "addresses that do not answer",
	events: each(23, func(i int, client, _ story.Socket) []event.Event {
		client.Remote = addr("10.8.0." + strconv.Itoa(i+1) + ":22")
		return silent(client, 1*s+time.Duration(i)*10*ms, shop)
	}),
	until: 10 * s,
	want:  []string{"warning 23 shop"},
	says:  []string{"of 23 hosts", "23 not answered"},
}, {
	name:   "a few dead backends",
	events: scan(7, shop), until: 10 * s,
}, {
	name:   "many tries at one",
	events: refusals(101), until: 10 * s,
}}
