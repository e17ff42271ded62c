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
	emit    func(h *head, payload []byte) error // takes a block
	encoder *zstd.Encoder
	block   block
	head    head
	any     bool // the block has a time
	raw     []byte
	payload []byte
	err     error
}

// NewWriter begins a recording of a host. Nothing is written before Flush, or
// until a block is full.
func NewWriter(out io.Writer, info Info) (*Writer, error) {
	w, err := newWriter((&stream{out: out}).write)
	if err != nil {
		return nil, err
	}
	return w, w.info(&info)
}

func newWriter(emit func(*head, []byte) error) (*Writer, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("prepare to compress: %w", err)
	}
	w := &Writer{emit: emit, encoder: encoder, block: block{coder: coder{writing: true}}}
	w.block.reset()
	return w, nil
}

func (w *Writer) info(info *Info) error {
	if err := w.block.infoRow(info); err != nil {
		return err
	}
	w.row()
	return nil
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
	w.long()
}

// Process takes in a process.
func (w *Writer) Process(p *Process) {
	w.block.processRow(p)
	w.row()
}

// Descriptors takes in those of a process.
func (w *Writer) Descriptors(d *Descriptors) {
	w.block.descriptorsRow(d)
	w.row()
	w.long()
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
	if w.block.rows >= blockRows || w.block.rows%256 == 0 {
		w.long()
	}
}

// long ends a block that is full, where a row may have been a long one.
func (w *Writer) long() {
	if w.block.rows >= blockRows || w.block.size() >= blockBytes {
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

func (w *Writer) end() error {
	w.raw = w.block.appendColumns(w.raw[:0])
	w.payload = w.encoder.EncodeAll(w.raw, w.payload[:0])
	w.head.rows, w.head.raw, w.head.payload = uint32(w.block.rows), uint32(len(w.raw)), uint32(len(w.payload))
	w.head.sum = crc32.Checksum(w.payload, checksum)
	w.err = w.emit(&w.head, w.payload)
	w.head, w.any = head{}, false
	w.block.reset()
	return w.err
}

// A stream is a file, or another place that blocks are written to one after the
// other.
type stream struct {
	out     io.Writer
	number  uint32 // of the next block
	written uint64 // bytes, all of them good
	frame   []byte
}

// write writes a block, in one piece.
func (s *stream) write(h *head, payload []byte) error {
	s.frame = s.frame[:0]
	if s.number == 0 {
		s.frame = appendFileHead(s.frame)
	}
	h.number = s.number
	s.frame = append(h.append(s.frame), payload...)
	n, err := s.out.Write(s.frame)
	if err != nil {
		return err
	}
	s.written += uint64(n)
	s.number++
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
