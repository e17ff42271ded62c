package drop

import "cmp"

// maxReasons bounds those that a Tally tells apart.
const maxReasons = 32

// A Tally counts dropped packets of one or more connections, as one end sees
// them. Those by which nothing is missed are not counted.
type Tally struct {
	Own     uint64 // sent by this end
	Answers uint64 // sent to it

	reasons map[place]uint64
}

// A place is why, and in which network namespace, a packet was dropped.
type place struct {
	reason string
	netns  uint32
}

// Add counts n packets that were dropped in a namespace; own says that this end
// had sent them. It allocates nothing for a reason that it knows.
func (t *Tally) Add(reason string, netns uint32, own bool, n uint64) {
	if KindOf(reason) == Aftermath {
		return
	}
	if own {
		t.Own += n
	} else {
		t.Answers += n
	}
	t.note(place{reason, netns}, n)
}

func (t *Tally) note(p place, n uint64) {
	if t.reasons == nil {
		t.reasons = map[place]uint64{}
	}
	if _, known := t.reasons[p]; known || len(t.reasons) < maxReasons {
		t.reasons[p] += n
	}
}

// Join adds all of u.
func (t *Tally) Join(u *Tally) {
	t.Own += u.Own
	t.Answers += u.Answers
	for p, n := range u.reasons {
		t.note(p, n)
	}
}

// Total returns how many were counted.
func (t *Tally) Total() uint64 { return t.Own + t.Answers }

// Top returns the most frequent reason, in which namespace that was, and how
// often; of equals always the same. n is 0 where nothing was counted.
func (t *Tally) Top() (reason string, netns uint32, n uint64) {
	var best place
	for p, count := range t.reasons {
		if count > n || count == n && cmp.Or(cmp.Compare(p.reason, best.reason), cmp.Compare(p.netns, best.netns)) < 0 {
			best, n = p, count
		}
	}
	return best.reason, best.netns, n
}
