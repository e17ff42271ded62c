//go:build linux

package lab

// A Resent counts the segments that one end of a connection sent again, as they
// came over the wire.
type Resent struct {
	SYN    int `json:"syn,omitzero"`
	SYNACK int `json:"synack,omitzero"`
	FIN    int `json:"fin,omitzero"` // without data
	Data   int `json:"data,omitzero"`
}

// Sum returns the number of all of them: the kernel's RetransSegs.
func (r Resent) Sum() int { return r.SYN + r.SYNACK + r.FIN + r.Data }

// A lossWatch counts what is sent again. It is the wire's, which locks.
type lossWatch struct {
	flows map[flow]*[2]sender
}

// A sender is one end of a flow.
type sender struct {
	any    bool
	high   uint32 // behind the last sequence number sent
	data   int
	resent Resent
	nth    map[sent]int
	datas  map[uint32]int // sequence number: which of its segments with data
}

// A sent segment is the same when it is sent again.
type sent struct {
	seq   uint32
	flags uint8
}

func newLossWatch() *lossWatch { return &lossWatch{flows: map[flow]*[2]sender{}} }

// lose has the wire carry everything, copies too, but for what lose says; nil
// loses nothing. All is counted.
func (w *wire) lose(l *lossWatch, lose func(sending) bool) {
	w.locked(func() {
		w.seen = nil
		w.rule = func(w *wire, s segment) {
			if sending := l.note(s); lose == nil || !lose(sending) {
				w.pass(s)
			}
		}
	})
}

// note enters a segment into the books.
func (l *lossWatch) note(s segment) sending {
	f := l.flows[s.flow()]
	if f == nil {
		f = &[2]sender{}
		l.flows[s.flow()] = f
	}
	k, peer := &f[s.from], &f[1-s.from]
	if k.nth == nil {
		k.nth, k.datas = map[sent]int{}, map[uint32]int{}
	}
	out := sending{segment: s, again: peer.resent.Data}
	content := s.flags & (flagSYN | flagFIN)
	if s.payload == 0 && content == 0 {
		return out
	}
	key := sent{s.seq, content}
	k.nth[key]++
	out.nth = k.nth[key]
	if s.payload > 0 && k.datas[s.seq] == 0 {
		k.data++
		k.datas[s.seq] = k.data
	}
	out.data = k.datas[s.seq]
	if k.any && int32(s.seq-k.high) < 0 {
		k.resent.add(out)
	}
	end := s.seq + uint32(s.payload)
	if content != 0 {
		end++
	}
	if !k.any || int32(end-k.high) > 0 {
		k.any, k.high = true, end
	}
	return out
}

func (r *Resent) add(s sending) {
	switch {
	case s.isSYN():
		r.SYN++
	case s.isSYNACK():
		r.SYNACK++
	case s.isFIN():
		r.FIN++
	default:
		r.Data++
	}
}
