package conn

import "github.com/tcptrace/tcptrace/internal/event"

// awakeLimit is how many connections are kept as records, beside those that
// cannot be naps: to wake and to sleep costs more than the memory of so many, some
// 20 MB, is worth.
const awakeLimit = 1 << 15

// cached is how many records the processor's cache may be expected to hold.
const cached = 1 << 10

// A seat is a connection's place among those followed or remembered, from its
// first event until it is forgotten. Its number is Connection.Number.
type seat struct {
	older, newer uint32 // seats, in index's list
	place        int32  // 1 + that of its record in seating.awake; 0: it sleeps
	nap          nap    // while it sleeps
}

// A seating gives connections their seats, wakes them and lets them sleep.
type seating struct {
	seats   slab[seat]
	burdens slab[burden]
	people  people

	recent recents

	awake      []*record // in no order; nil: nobody
	vacant     []int32   // places in awake
	hand       int       // in awake: how far doze has looked
	awakeLimit int

	reuse bool
	spare []*record // empty, if reuse
}

// crowdAwake reports whether more records are awake than need to be.
func (x *index) crowdAwake() bool { return x.awakeBeyond(x.awakeLimit) }

// filling reports whether more records are awake than are cached.
func (x *index) filling() bool { return x.awakeBeyond(min(cached, x.awakeLimit)) }

// awakeBeyond reports whether more are, beside those remembered, than the limit.
func (x *index) awakeBeyond(limit int) bool { return x.reuse && x.wakeful() > limit+len(x.ended) }

// wakeful returns how many records are awake.
func (x *seating) wakeful() int { return len(x.awake) - len(x.vacant) }

// seat returns an empty record with a seat of its own.
func (x *index) seat() *record {
	r := x.take()
	r.Number = x.seats.take()
	s := x.seats.at(r.Number)
	s.older, s.newer = 0, 0
	x.rouse(s, r)
	return r
}

// recents are the records found last, each in a place that its cookie tells. The
// events of one connection come in bursts: most are found here, in the processor's
// nearest cache.
type recents [256]*record

func (x *recents) of(id event.ID) **record { return &x[id.Cookie%uint64(len(x))] }

// forget is to be called before r becomes another's.
func (x *recents) forget(r *record) {
	if at := x.of(r.ID); *at == r {
		*at = nil
	}
}

// slabRecords is the number of records that are allocated at once, where
// they are reused and so need not be freed one by one.
const slabRecords = 32

func (x *seating) take() *record {
	if !x.reuse {
		return new(record)
	}
	if len(x.spare) == 0 {
		more := make([]record, slabRecords)
		for i := range more {
			x.spare = append(x.spare, &more[i])
		}
	}
	last := len(x.spare) - 1
	r := x.spare[last]
	x.spare = x.spare[:last]
	*r = record{}
	return r
}

// rouse enters r, of the seat s, among those awake.
func (x *seating) rouse(s *seat, r *record) {
	if last := len(x.vacant) - 1; last >= 0 {
		r.place = x.vacant[last]
		x.vacant = x.vacant[:last]
		x.awake[r.place] = r
	} else {
		r.place = int32(len(x.awake))
		x.awake = append(x.awake, r)
	}
	r.fresh = true
	s.place = r.place + 1
}

// record returns the record of a seat, which wakes if it sleeps. It is to be used
// until the event is handled.
func (x *index) record(number uint32) *record {
	s := x.seats.at(number)
	if s.place != 0 {
		r := x.awake[s.place-1]
		r.fresh = true
		return r
	}
	r := x.take()
	r.Number = number
	x.unpack(&s.nap, r)
	x.rouse(s, r)
	return r
}

// settle takes r from those awake. Its memory may be used again, if that is
// allowed at all.
func (x *seating) settle(r *record) {
	x.recent.forget(r)
	x.awake[r.place] = nil
	x.vacant = append(x.vacant, r.place)
	x.seats.at(r.Number).place = 0
	if x.reuse {
		x.spare = append(x.spare, r)
	}
}

// release takes r and its seat back. Nobody refers to it any more.
func (x *index) release(r *record) {
	x.settle(r)
	x.seats.give(r.Number)
}

// sleep makes a nap of r, which is restful.
func (x *index) sleep(r *record) {
	x.pack(r, &x.seats.at(r.Number).nap)
	x.settle(r)
}

// doze lets one record sleep, one that was not met lately, if it finds one soon.
func (x *index) doze() {
	for range 8 {
		if x.hand >= len(x.awake) {
			x.hand = 0
		}
		r := x.awake[x.hand]
		if r == nil {
			x.hand++
			continue
		}
		if !r.fresh && r.restful() {
			x.sleep(r)
			return
		}
		r.fresh = false
		x.hand++
	}
}

// sweptAsleep handles the end of a sweep for a seat that sleeps, and reports
// whether that is all: it was found, or there was no reason to.
func (x *index) sweptAsleep(number uint32, ev *event.Event) bool {
	s := x.seats.at(number)
	n := &s.nap
	switch {
	case s.place != 0:
		return false
	case n.netns != ev.ID.NetNS:
		return true
	case n.flags.has(napSeen):
		n.flags &^= napSeen
		return true
	}
	return n.begins[n.spans-1]+moment >= ev.From
}
