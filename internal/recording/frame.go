package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/tcptrace/tcptrace/internal/event"
)

// Version is that of the format. It grows only with what older readers would
// misunderstand.
const Version = 1

const (
	// skippable is the magic number of a zstd frame that every zstd passes
	// over (RFC 8878, section 3.1.2).
	skippable = 0x184D2A5C

	magic      = "tcptrace recording\n"
	fileHead   = 8 + len(magic) + 1
	headBytes  = 48 // of a block's head, without the 8 of the skippable frame
	maxPayload = 12 << 20
	maxRaw     = 12 << 20
	maxRows    = 1 << 17
)

var checksum = crc32.MakeTable(crc32.Castagnoli)

// A head precedes each block.
type head struct {
	number  uint32 // counts blocks from 0, in this file
	last    bool   // the recording was ended in order
	rows    uint32
	raw     uint32 // bytes of its columns
	payload uint32 // bytes of the zstd frame that follows
	sum     uint32 // CRC-32C of it
	from    event.Time
	to      event.Time // of the latest of its events and ticks
}

const flagLast = 1

func appendFileHead(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, skippable)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(magic))+1)
	return append(append(b, magic...), Version)
}

func (h *head) append(b []byte) []byte {
	var marks uint32
	if h.last {
		marks |= flagLast
	}
	b = binary.LittleEndian.AppendUint32(b, skippable)
	b = binary.LittleEndian.AppendUint32(b, headBytes)
	begin := len(b)
	for _, v := range []uint32{h.number, marks, h.rows, h.raw, h.payload, h.sum} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(h.from))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.to))
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[begin:], checksum))
}

// parse reads a head of 8 + headBytes bytes. It returns false where these are
// no head.
func (h *head) parse(b []byte) bool {
	word := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	if word(0) != skippable || word(4) != headBytes {
		return false
	}
	b = b[8:]
	if crc32.Checksum(b[:headBytes-4], checksum) != word(headBytes-4) {
		return false
	}
	*h = head{
		number: word(0), last: word(4)&flagLast != 0, rows: word(8), raw: word(12), payload: word(16), sum: word(20),
		from: event.Time(binary.LittleEndian.Uint64(b[24:])), to: event.Time(binary.LittleEndian.Uint64(b[32:])),
	}
	return h.payload <= maxPayload && h.raw <= maxRaw && h.rows <= maxRows
}

// ErrNotRecording says that a file is none of ours.
var ErrNotRecording = errors.New("it is no recording of tcptrace")

func readFileHead(in io.Reader) error {
	var b [fileHead]byte
	_, err := io.ReadFull(in, b[:])
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return ErrNotRecording
	case err != nil:
		return fmt.Errorf("read its begin: %w", err)
	}
	want := appendFileHead(nil)
	if string(b[:fileHead-1]) != string(want[:fileHead-1]) {
		return ErrNotRecording
	}
	if v := b[fileHead-1]; v == 0 || v > Version {
		return fmt.Errorf("it is of version %d, and this tcptrace knows up to %d: take a newer one", v, Version)
	}
	return nil
}
