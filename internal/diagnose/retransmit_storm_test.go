package diagnose_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// lossy has n connections send k segments again within 5 s, each to a peer of
// its own in the network.
func lossy(n, k int, network string, class event.Retransmission) []event.Event {
	return losing(n, k, 2*s, class, func(i int, c *story.Socket) event.Task {
		c.Remote = addr(network + strconv.Itoa(i%200+1) + ":443")
		return shop
	})
}

// losing has n connections send k segments again within 5 s from at on, each
// changed by change, which says whose it is.
func losing(n, k int, at time.Duration, class event.Retransmission, change func(i int, c *story.Socket) event.Task) []event.Event {
	return each(n, func(i int, client, _ story.Socket) []event.Event {
		life := client.Connect(1*s, 300*us, change(i, &client))
		for j := range k {
			life = append(life, client.Retransmit(at+time.Duration(j)*5*s/time.Duration(k), tcp.Established, class))
		}
		return life
	})
}

// inOrder joins events as they come.
func inOrder(parts ...any) []event.Event {
	all := story.Join(parts...)
	slices.SortStableFunc(all, func(a, b event.Event) int { return int(a.Time - b.Time) })
	return all
}

// scattered are peers in networks of their own.
func scattered(i int, c *story.Socket) {
	c.Remote = addr(fmt.Sprintf("10.%d.8.1:443", i+1))
}

// traffic is of connections to the peer that sent a million segments in 0.5 s.
func traffic(peer string) []event.Event {
	return each(2, func(i int, client, _ story.Socket) []event.Event {
		at := time.Duration(i+1) * 100 * ms
		client.ID.Cookie += 0x1000
		client.Remote = addr(peer)
		return story.Join(client.Connect(at, 300*us, shop),
			client.Totals(at+500*ms, event.Counters{SegsOut: 1_000_000, BytesSent: 1e9}),
			story.Failed(event.ECONNRESET, client.State(at+500*ms, tcp.Established, tcp.Close)))
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
	name: "one process",
	events: losing(23, 50, 2*s, timeout, func(i int, c *story.Socket) event.Task {
		scattered(i, c)
		return shop
	}),
	until:   9 * s,
	devices: devices{"10.0.0.1": "eth0"},
	want:    []string{"warning 1150 shop"},
	says:    []string{"by one process"},
}, {
	name: "one device",
	events: losing(23, 50, 2*s, timeout, func(i int, c *story.Socket) event.Task {
		scattered(i, c)
		c.Local = addr(fmt.Sprintf("10.0.0.%d:40000", 1+i%5/4)) // four of five are eth0's
		return []event.Task{shop, curl, nginx}[i%3]
	}),
	until:   9 * s,
	devices: devices{"10.0.0.1": "eth0", "10.0.0.2": "eth1"},
	want:    []string{"warning 950 -"},
	says:    []string{"by the device eth0"},
}, {
	name: "the whole host",
	events: losing(23, 50, 2*s, timeout, func(i int, c *story.Socket) event.Task {
		scattered(i, c)
		c.Local = addr(fmt.Sprintf("10.0.0.%d:40000", 1+i%2))
		return []event.Task{shop, curl, nginx}[i%3]
	}),
	until:   9 * s,
	devices: devices{"10.0.0.1": "eth0", "10.0.0.2": "eth1"},
	want:    []string{"warning 1150 -"},
	says:    []string{"by the whole host"},
}, {
	name: "more connections than can be named",
	events: story.Join(lossy(1, 150, "10.9.8.", timeout), func() event.Event {
		more := event.Event{Kind: event.RetransmitMore, Time: event.Time(5 * s), ID: event.ID{NetNS: 4026531840}}
		more.Suppressed.ByClass[1] = 20_000
		return more
	}()),
	until: 9 * s,
	want:  []string{"critical 20150 -"},
	says:  []string{"by the whole host"},
}, {
	name: "it turns out to be wider than one peer",
	events: inOrder(lossy(1, 200, "10.9.8.", timeout), losing(10, 100, 6*s, timeout, func(i int, c *story.Socket) event.Task {
		c.ID.Cookie += 0x2000
		c.Remote = addr(fmt.Sprintf("10.9.8.%d:443", i+100))
		return shop
	})),
	until: 13 * s,
	want:  []string{"warning 1200 shop"},
	says:  []string{"to the network 10.9.8.0/24"},
}, {
	name: "two storms of one peer",
	events: story.Join(lossy(1, 500, "10.9.8.", fast), losing(1, 300, 60*s, fast, func(_ int, c *story.Socket) event.Task {
		c.ID.Cookie += 0x2000
		c.Remote = addr("10.9.8.1:443")
		return shop
	})),
	until: 70 * s,
	want:  []string{"warning 800 shop"},
}, {
	name: "a firewall of this host",
	events: each(1, func(_ int, client, _ story.Socket) []event.Event {
		life := client.Connect(1*s, 300*us, shop)
		for i := range 300 {
			at := 2*s + time.Duration(i)*10*ms
			life = append(life, client.Retransmit(at, tcp.Established, timeout), dropsOut(client, at, "NETFILTER_DROP", data))
		}
		return life
	}),
	until: 9 * s,
	want:  []string{"warning 300 shop"},
	says:  []string{"300 segments dropped on this host (NETFILTER_DROP): a firewall of this host drops them"},
}, {
	name: "the receiver on this host has no room",
	events: each(1, func(_ int, client, server story.Socket) []event.Event {
		life := both(client, server)
		for i := range 300 {
			at := 2*s + time.Duration(i)*10*ms
			life = append(life, dropsIn(server, at, "SOCKET_BACKLOG", data), client.Retransmit(at, tcp.Established, fast))
		}
		return life
	}),
	until: 9 * s,
	want:  []string{"warning 300 shop"},
	says:  []string{"300 segments dropped on this host (SOCKET_BACKLOG): they come faster than the receiving process"},
}, {
	name: "acknowledgements that this host drops, and copies that are no loss",
	events: each(1, func(_ int, client, server story.Socket) []event.Event {
		life := both(client, server)
		for i := range 300 {
			at := 2*s + time.Duration(i)*10*ms
			life = append(life, dropsOut(server, at, "NETFILTER_DROP", anACK), client.Retransmit(at, tcp.Established, timeout),
				dropsIn(server, at, "TCP_OLD_DATA", data))
		}
		return life
	}),
	until: 9 * s,
	want:  []string{"warning 300 shop"},
	says:  []string{"300 answers dropped on this host (NETFILTER_DROP)"},
}, {
	name:   "a little loss",
	events: lossy(7, 10, "10.9.8.", fast), until: 9 * s,
}, {
	name:   "much loss, of very much traffic",
	events: inOrder(traffic("10.9.8.1:443"), lossy(1, 500, "10.9.8.", fast)), until: 9 * s,
}, {
	name:   "much loss, and very much traffic elsewhere",
	events: inOrder(traffic("10.9.9.1:443"), lossy(1, 500, "10.9.8.", fast)), until: 9 * s,
	want: []string{"warning 500 shop"},
}, {
	name: "SYNs are another matter",
	events: each(60, func(_ int, client, _ story.Socket) []event.Event {
		return silent(client, 1*s, curl)
	}),
	until: 9 * s,
}, {
	name: "drops alone",
	events: each(300, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(client.Connect(1*s, 300*us, shop), dropsOut(client, 2*s, "NETFILTER_DROP", aFIN))
	}),
	until: 9 * s,
}}

// A storm that turns out to be wider is told as one: what was told first is
// withdrawn.
func TestRetransmitStorm_Widens(t *testing.T) {
	i := slices.IndexFunc(retransmitStormCases, func(c ruleCase) bool { return c.name == "it turns out to be wider than one peer" })
	c := retransmitStormCases[i]
	var got []string
	c.run(func(f diagnose.Finding) {
		word := f.ID
		if f.Withdrawn {
			word += " withdrawn"
		}
		got = append(got, word)
	})
	want := []string{
		"retransmit-storm:10.9.8.1:peer", "retransmit-storm:10.9.8.1:peer withdrawn", "retransmit-storm:network-10.9.8.0/24",
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
