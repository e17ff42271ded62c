package recording

import (
	"bytes"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/event"
)

// Whatever a file says, it is read or refused: without a panic, and with memory
// that is bounded by what a block may hold.
func FuzzReader(f *testing.F) {
	file, _ := small(f)
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Fuzz(func(t *testing.T, file []byte) {
		drain(bytes.NewReader(file))
	})
}

// The same for what checksums would have refused: the columns of a block, which
// somebody has made with all checksums right. text has for each piece of a
// column its number, its length and its bytes.
func FuzzRows(f *testing.F) {
	for _, rows := range [][]event.Event{churn(3), {{Kind: event.Lost, Loss: event.Loss{Kind: event.State, Count: 1}}}} {
		b := block{coder: coder{writing: true}}
		b.reset()
		info := testInfo()
		if err := b.infoRow(&info); err != nil {
			f.Fatal(err)
		}
		b.namespaceRow(&Namespace{NetNS: 1, Name: "x", Sysctls: map[string]string{"a": "b"}})
		b.processRow(&Process{Task: task(1, "init")})
		at := event.Time(7)
		b.snapshotRow(&at)
		b.socketRow(0, &census.Socket{Holders: []census.Holder{{PID: 1}, {PID: 2}}})
		b.descriptorsRow(&Descriptors{PID: 1, Held: []Descriptor{{FD: 3}}})
		b.tickRow(&at)
		for i := range rows {
			b.event(0, &rows[i])
		}
		var text []byte
		for col, data := range b.data {
			for piece := range slices.Chunk(data, 255) {
				text = append(append(text, byte(col), byte(len(piece))), piece...)
			}
		}
		f.Add(uint32(7+len(rows)), text)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, rows uint32, text []byte) {
		var b block
		for len(text) >= 2 {
			col, piece := text[0], text[2:min(len(text), 2+int(text[1]))]
			text = text[2+len(piece):]
			if column(col) < numColumns {
				b.data[col] = append(b.data[col], piece...)
			}
		}
		raw := b.appendColumns(nil)
		payload := encoder.EncodeAll(raw, nil)
		h := head{rows: rows, raw: uint32(len(raw)), payload: uint32(len(payload)), sum: crc32.Checksum(payload, checksum)}
		drain(bytes.NewReader(append(h.append(appendFileHead(nil)), payload...)))
	})
}

// drain reads what there is.
func drain(file *bytes.Reader) {
	r, err := NewReader(file)
	if err != nil {
		return
	}
	defer r.Close()
	for {
		if _, err := r.Next(); err != nil {
			return
		}
	}
}
