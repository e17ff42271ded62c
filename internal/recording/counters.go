package recording

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// Counters are the kernel's own of network namespaces, as they were read before
// the first event and, Last, as the recording was told to end: what "tcptrace
// audit" holds the events against. Their place among the events is that of the
// reading.
type Counters struct {
	Last   bool           `json:"last,omitempty"`
	Spaces []CountedSpace `json:"netns"`
}

// A CountedSpace has those of one network namespace, by the kernel's names of
// them, and when they were read.
type CountedSpace struct {
	NetNS      uint32           `json:"inode"`
	Name       string           `json:"name,omitempty"`
	From       event.Time       `json:"from_mono_ns"`
	To         event.Time       `json:"to_mono_ns"`
	FinTimeout time.Duration    `json:"fin_timeout_ns,omitempty"`
	Values     map[string]int64 `json:"values"`
}

func (b *block) countersRow(c *Counters) error {
	b.begin(rowCounters, 0, 0)
	if b.writing {
		text, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("write down the kernel's counters: %w", err)
		}
		b.put(colCounters, uint64(len(text)))
		b.data[colCounters] = append(b.data[colCounters], text...)
		return nil
	}
	text := b.take(colCounters, b.get(colCounters))
	*c = Counters{}
	if b.err == nil && json.Unmarshal(text, c) != nil {
		b.fail()
	}
	return b.err
}

// Counters takes in the kernel's counters.
func (w *Writer) Counters(c *Counters) {
	if err := w.block.countersRow(c); err != nil {
		w.err = err
	}
	w.row()
	w.long()
}

// Counters takes in the kernel's counters, as they are at this place.
func (r *Recorder) Counters(c *Counters) { r.rows.Counters(c) }
