package recording

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/event"
)

const (
	// blockRows and blockBytes are what makes a block full.
	blockRows  = 1 << 16
	blockBytes = 4 << 20
)

// A Writer makes a recording. One goroutine uses it. Its error is sticky: what
// was written until then is good, and Flush and Close return it.
type Writer struct {
	out     io.Writer
	encoder *zstd.Encoder
	block   block
	head    head
	any     bool // the block has a time
	raw     []byte
	frame   []byte
	written uint64
	err     error
}

// NewWriter begins a recording of a host. Nothing is written before Flush, or
// until a block is full.
func NewWriter(out io.Writer, info Info) (*Writer, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("prepare to compress: %w", err)
	}
	w := &Writer{out: out, encoder: encoder, block: block{coder: coder{writing: true}}, frame: appendFileHead(nil)}
	w.block.reset()
	if err := w.block.infoRow(&info); err != nil {
		return nil, err
	}
	w.block.rows++
	return w, nil
}

// Event takes in an event, which it does not keep.
func (w *Writer) Event(ev *event.Event) {
	w.block.event(0, ev)
	w.span(ev.Time)
	w.row()
}

// Tick says that at now the source had nothing more to hand over.
func (w *Writer) Tick(now event.Time) {
	w.block.tickRow(&now)
	w.span(now)
	w.row()
}

// Namespace takes in what is known of a network namespace from now on.
func (w *Writer) Namespace(n *Namespace) {
	w.block.namespaceRow(n)
	w.row()
}

// Process takes in a process.
func (w *Writer) Process(p *Process) {
	w.block.processRow(p)
	w.row()
}

// Snapshot takes in every socket of one moment: what the kernel's tables say.
func (w *Writer) Snapshot(c *census.Census) {
	at := c.Time
	w.block.snapshotRow(&at)
	w.row()
	for i := range c.Sockets {
		s := c.Sockets[i]
		w.block.socketRow(0, &s)
		w.row()
	}
}

func (w *Writer) span(t event.Time) {
	if !w.any {
		w.any, w.head.from, w.head.to = true, t, t
	}
	w.head.from, w.head.to = min(w.head.from, t), max(w.head.to, t)
}

// row ends a row, and a block that is full.
func (w *Writer) row() {
	w.block.rows++
	if w.err != nil {
		w.block.reset() // nothing more can be written
	}
	if w.block.rows >= blockRows || w.block.rows%256 == 0 && w.block.size() >= blockBytes {
		_ = w.Flush() // the error is kept
	}
}

func (b *block) size() (n int) {
	for i := range b.data {
		n += len(b.data[i])
	}
	return n
}

// Flush writes what there is, in one piece.
func (w *Writer) Flush() error {
	if w.block.rows == 0 || w.err != nil {
		return w.err
	}
	return w.end()
}

// Close flushes, and marks the recording as ended in order. It does not close
// what is written to.
func (w *Writer) Close() error {
	w.head.last = true
	if w.err != nil {
		return w.err
	}
	return w.end()
}

// Written returns how many bytes were written: all of them are good.
func (w *Writer) Written() uint64 { return w.written }

func (w *Writer) end() error {
	w.raw = w.block.appendColumns(w.raw[:0])
	at := len(w.frame)
	payload := w.encoder.EncodeAll(w.raw, nil)
	w.head.rows, w.head.raw, w.head.payload = uint32(w.block.rows), uint32(len(w.raw)), uint32(len(payload))
	w.head.sum = crc32.Checksum(payload, checksum)
	w.frame = append(w.head.append(w.frame[:at]), payload...)
	n, err := w.out.Write(w.frame)
	if err != nil {
		w.err = err
		return err
	}
	w.written += uint64(n)
	w.frame = w.frame[:0]
	w.head = head{number: w.head.number + 1}
	w.any = false
	w.block.reset()
	return nil
}

// appendColumns appends how many columns there are, the number and length of
// each, and then their contents.
func (b *block) appendColumns(to []byte) []byte {
	count := 0
	for i := range b.data {
		if len(b.data[i]) > 0 {
			count++
		}
	}
	to = binary.AppendUvarint(to, uint64(count))
	for i := range b.data {
		if n := len(b.data[i]); n > 0 {
			to = binary.AppendUvarint(to, uint64(i))
			to = binary.AppendUvarint(to, uint64(n))
		}
	}
	for i := range b.data {
		to = append(to, b.data[i]...)
	}
	return to
}
