package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/event"
)

// An EntryKind says what an Entry is.
type EntryKind uint8

const (
	EventEntry       EntryKind = iota + 1
	TickEntry                  // Now
	NamespaceEntry             // Namespace
	ProcessEntry               // Process
	SnapshotEntry              // Now: the sockets that follow are of this moment
	SocketEntry                // Socket
	DescriptorsEntry           // Descriptors
	CountersEntry              // Counters
)

// An Entry is one thing that was recorded. What it points to is valid until the
// next one is read, but for strings and labels.
type Entry struct {
	Kind        EntryKind
	Event       event.Event // its Task.Label is the same pointer for the same contents
	Now         event.Time
	Namespace   Namespace
	Process     Process
	Socket      census.Socket
	Descriptors Descriptors
	Counters    Counters
}

// A DamageError says that a recording cannot be read to its end.
type DamageError struct {
	Offset int64      // in the file, of the block that cannot be read
	Good   event.Time // up to when what was read is good; 0 where that is nothing
	Cut    bool       // the file ends in the middle of a block
	Err    error
}

func (e *DamageError) Error() string {
	if e.Cut {
		return "it is cut off: it ends in the middle of a block"
	}
	return fmt.Sprintf("it is damaged at byte %d: %v", e.Offset, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// A Reader reads one recording. One goroutine uses it.
type Reader struct {
	in      io.Reader
	decoder *zstd.Decoder
	block   block
	head    head
	headBuf [8 + headBytes]byte
	payload []byte
	raw     []byte
	offset  int64 // of the next block
	number  uint32
	good    event.Time
	entry   Entry
	info    Info
	err     error // io.EOF, or why nothing more can be read
	ended   bool
	unknown uint64
}

// NewReader reads the begin of a recording. It returns ErrNotRecording,
// wrapped, where it is none; a *DamageError where nothing of it can be read.
func NewReader(in io.Reader) (*Reader, error) {
	if err := readFileHead(in); err != nil {
		return nil, err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw))
	if err != nil {
		return nil, fmt.Errorf("prepare to decompress: %w", err)
	}
	r := &Reader{in: in, decoder: decoder, offset: int64(fileHead)}
	if err := r.readInfo(); err != nil {
		decoder.Close()
		if err == io.EOF {
			err = &DamageError{Offset: r.offset, Cut: true, Err: io.ErrUnexpectedEOF}
		}
		return nil, err
	}
	return r, nil
}

func (r *Reader) readInfo() error {
	if err := r.nextBlock(); err != nil {
		return err
	}
	var s shape
	if r.block.rows > 0 {
		r.block.shape(&s)
	}
	if s.kind() != rowInfo {
		return r.damage(errCorrupt)
	}
	r.block.rows--
	if err := r.block.infoRow(&r.info); err != nil {
		return r.damage(err)
	}
	return nil
}

// Info says of what the recording is.
func (r *Reader) Info() *Info { return &r.info }

// Ended reports whether the recording was ended in order. It is meant for when
// Next has returned io.EOF: without that, who recorded was killed, or still
// records.
func (r *Reader) Ended() bool { return r.ended }

// Good returns the time up to which all that there is was read.
func (r *Reader) Good() event.Time { return r.good }

// Unknown returns how many rows were passed over, because a newer version wrote
// what this one does not know.
func (r *Reader) Unknown() uint64 { return r.unknown }

// Close ends its use. It does not close what is read from.
func (r *Reader) Close() { r.decoder.Close() }

// Next returns the next entry: io.EOF where there is none, or a *DamageError
// where there is one that cannot be read. What came before is good.
func (r *Reader) Next() (*Entry, error) {
	for r.err == nil {
		if r.block.rows == 0 {
			r.good = max(r.good, r.head.to)
			if r.err = r.nextBlock(); r.err != nil {
				break
			}
			continue
		}
		r.block.rows--
		known := r.row()
		if r.block.err != nil {
			r.err = r.damage(r.block.err)
			break
		}
		if known {
			return &r.entry, nil
		}
	}
	return nil, r.err
}

// row reads a row, and says whether it is of a kind that is known.
func (r *Reader) row() bool {
	b, e := &r.block, &r.entry
	var s shape
	b.shape(&s)
	switch k := s.kind(); k {
	case 0:
		r.unknown++
		e.Event = event.Event{}
		b.common(s, &e.Event)
		return false
	case rowTick:
		e.Kind = TickEntry
		b.tickRow(&e.Now)
	case rowNamespace:
		e.Kind = NamespaceEntry
		b.namespaceRow(&e.Namespace)
	case rowProcess:
		e.Kind = ProcessEntry
		b.processRow(&e.Process)
	case rowSnapshot:
		e.Kind = SnapshotEntry
		b.snapshotRow(&e.Now)
	case rowSocket:
		e.Kind = SocketEntry
		b.socketRow(s, &e.Socket)
	case rowDescriptors:
		e.Kind = DescriptorsEntry
		b.descriptorsRow(&e.Descriptors)
	case rowCounters:
		e.Kind = CountersEntry
		return b.countersRow(&e.Counters) == nil
	case rowInfo:
		return b.infoRow(&Info{}) == nil && false
	default:
		e.Kind = EventEntry
		b.event(s, &e.Event)
	}
	return true
}

// nextBlock reads the next block. Where there is none it returns io.EOF.
func (r *Reader) nextBlock() error {
	n, err := io.ReadFull(r.in, r.headBuf[:])
	switch {
	case n == 0 && err == io.EOF:
		return io.EOF
	case r.ended:
		return r.damage(errors.New("more follows its end"))
	case err == io.ErrUnexpectedEOF:
		return r.cut()
	case err != nil:
		return fmt.Errorf("read it: %w", err)
	}
	if !r.head.parse(r.headBuf[:]) {
		return r.damage(errors.New("the head of a block is not right"))
	}
	if r.head.number != r.number {
		return r.damage(fmt.Errorf("block %d follows, and block %d should", r.head.number, r.number))
	}
	if cap(r.payload) < int(r.head.payload) {
		r.payload = make([]byte, r.head.payload)
	}
	r.payload = r.payload[:r.head.payload]
	if _, err := io.ReadFull(r.in, r.payload); err == io.EOF || err == io.ErrUnexpectedEOF {
		return r.cut()
	} else if err != nil {
		return fmt.Errorf("read it: %w", err)
	}
	if err := r.decompress(); err != nil {
		return r.damage(err)
	}
	r.offset += int64(len(r.headBuf)) + int64(r.head.payload)
	r.number++
	r.ended = r.head.last
	return nil
}

func (r *Reader) decompress() error {
	if crc32.Checksum(r.payload, checksum) != r.head.sum {
		return errors.New("its checksum is not right")
	}
	var err error
	if r.raw, err = r.decoder.DecodeAll(r.payload, r.raw[:0]); err != nil {
		return fmt.Errorf("decompress it: %w", err)
	}
	if len(r.raw) != int(r.head.raw) {
		return errCorrupt
	}
	r.block.reset()
	if !r.block.split(r.raw) {
		return errCorrupt
	}
	r.block.rows = int(r.head.rows)
	return nil
}

func (r *Reader) cut() error {
	return &DamageError{Offset: r.offset, Good: r.good, Cut: true, Err: io.ErrUnexpectedEOF}
}

func (r *Reader) damage(err error) error {
	return &DamageError{Offset: r.offset, Good: r.good, Err: err}
}

// split finds the columns in what appendColumns made.
func (b *block) split(raw []byte) bool {
	for i := range b.data {
		b.data[i], b.absent[i] = nil, true
	}
	next := func() (v uint64, ok bool) {
		v, n := binary.Uvarint(raw)
		if n <= 0 {
			return 0, false
		}
		raw = raw[n:]
		return v, true
	}
	count, ok := next()
	if !ok || count > uint64(len(raw)) {
		return false
	}
	list := raw
	for range count { // the contents follow the list
		_, ok1 := next()
		_, ok2 := next()
		if !ok1 || !ok2 {
			return false
		}
	}
	contents := raw
	raw = list
	for range count {
		id, _ := next()
		n, _ := next()
		if n > uint64(len(contents)) {
			return false
		}
		if id < uint64(numColumns) {
			b.data[id], b.absent[id] = contents[:n:n], false
		}
		contents = contents[n:]
	}
	return len(contents) == 0
}
