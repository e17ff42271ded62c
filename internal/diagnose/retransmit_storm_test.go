package diagnose_test

import (
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// lossy has n connections send k segments again within 5 s, each to a peer of
// its own in the network.
func lossy(n, k int, network string, class event.Retransmission) []event.Event {
	return each(n, func(i int, client, _ story.Socket) []event.Event {
		client.Remote = addr(network + strconv.Itoa(i%200+1) + ":443")
		life := client.Connect(1*s, 300*us, shop)
		for j := range k {
			life = append(life, client.Retransmit(2*s+time.Duration(j)*5*s/time.Duration(k), tcp.Established, class))
		}
		return life
	})
}

var (
	timeout = event.Retransmission{CAState: 4, Retransmits: 1, Head: true, Bytes: 1448}
	fast    = event.Retransmission{CAState: 3, Sacked: 4, Pending: 1, Bytes: 1448}
)

var retransmitStormCases = []ruleCase{{
	name:   "one peer",
	events: lossy(1, 500, "10.9.8.", fast), until: 9 * s,
	want: []string{"warning 500 shop"},
	says: []string{"500 segments sent again to the peer 10.9.8.1"},
}, {
	name:   "one network",
	events: lossy(23, 50, "10.9.8.", timeout), until: 9 * s,
	want: []string{"warning 1150 shop"},
	says: []string{"to the network 10.9.8.0/24"},
}, {
	name:   "a little loss",
	events: lossy(7, 10, "10.9.8.", fast), until: 9 * s,
}, {
	name: "much loss, of very much traffic",
	events: story.Join(
		each(2, func(i int, client, _ story.Socket) []event.Event {
			at := time.Duration(i+1) * 100 * ms
			client.ID.Cookie += 0x1000
			return story.Join(client.Connect(at, 300*us, shop),
				client.Totals(at+500*ms, event.Counters{SegsOut: 1_000_000, BytesSent: 1e9}),
				story.Failed(event.ECONNRESET, client.State(at+500*ms, tcp.Established, tcp.Close)))
		}),
		lossy(1, 500, "10.9.8.", fast),
	),
	until: 9 * s,
}}
