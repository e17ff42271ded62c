package drop

import "testing"

// Each kind says who drops, and what to do; but one.
func TestKinds_HaveWords(t *testing.T) {
	for k := range numKinds {
		if said := k.Who() != "" && k.Advice() != ""; said == (k == Aftermath) {
			t.Errorf("kind %d: who %q, advice %q", k, k.Who(), k.Advice())
		}
	}
}

func TestKindOf(t *testing.T) {
	for reason, want := range map[string]Kind{
		"NETFILTER_DROP": Firewall, "SOCKET_FILTER": SocketFilter, "SOCKET_BACKLOG": Backlog, "TCP_OLD_DATA": Aftermath,
		"OF_A_LATER_KERNEL": Other, "": Other,
	} {
		if got := KindOf(reason); got != want {
			t.Errorf("%s is of kind %d, want %d", reason, got, want)
		}
	}
}

func TestTally(t *testing.T) {
	var a, all Tally
	a.Add("TCP_OLD_DATA", 1, true, 9) // is no loss
	if reason, _, n := a.Top(); reason != "" || n != 0 || a.Total() != 0 {
		t.Errorf("%d of %s", n, reason)
	}
	a.Add("NETFILTER_DROP", 1, true, 3)
	a.Add("NETFILTER_DROP", 2, false, 4)
	a.Add("QDISC_DROP", 1, true, 4)
	all.Add("QDISC_DROP", 1, true, 1)
	all.Join(&a)
	if reason, netns, n := a.Top(); reason != "NETFILTER_DROP" || netns != 2 || n != 4 { // of equals the first by name
		t.Errorf("%d of %s in %d", n, reason, netns)
	}
	if reason, netns, n := all.Top(); reason != "QDISC_DROP" || netns != 1 || n != 5 {
		t.Errorf("%d of %s in %d", n, reason, netns)
	}
	if all.Own != 8 || all.Answers != 4 || all.Total() != 12 {
		t.Errorf("%d sent, %d answers", all.Own, all.Answers)
	}
}

func TestTally_Bounded(t *testing.T) {
	var a Tally
	for netns := range uint32(2 * maxReasons) {
		a.Add("NETFILTER_DROP", netns, true, 1)
	}
	if len(a.reasons) != maxReasons || a.Own != 2*maxReasons {
		t.Errorf("%d reasons for %d packets", len(a.reasons), a.Own)
	}
}
