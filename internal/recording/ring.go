package recording

import (
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// maxHeld bounds the memory that blocks take which wait for a finding.
const maxHeld = 256 << 20

// A ring keeps the last blocks in memory.
type ring struct {
	blocks []heldBlock // the oldest first
	bytes  int
}

type heldBlock struct {
	head    head
	payload []byte
}

// add keeps a block, and drops those that are older than since, and more where
// memory asks for it.
func (r *ring) add(h *head, payload []byte, since event.Time) {
	r.blocks = append(r.blocks, heldBlock{*h, slices.Clone(payload)})
	r.bytes += len(payload)
	drop := 0
	for drop < len(r.blocks)-1 && (r.blocks[drop].head.to < since || r.bytes > maxHeld) {
		r.bytes -= len(r.blocks[drop].payload)
		drop++
	}
	r.blocks = slices.Delete(r.blocks, 0, drop)
}

// span returns how much of the time is held.
func (r *ring) span() time.Duration {
	if len(r.blocks) == 0 {
		return 0
	}
	return r.blocks[len(r.blocks)-1].head.to.Sub(r.blocks[0].head.from)
}

// take returns all, and keeps nothing.
func (r *ring) take() []heldBlock {
	all := r.blocks
	*r = ring{}
	return all
}
