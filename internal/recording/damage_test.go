package recording

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
)

// small is a recording of several blocks.
func small(t testing.TB) (file []byte, events []event.Event) {
	t.Helper()
	events = churn(11)
	for i := range events {
		events[i].Task.Label = nil // so that events can be compared
	}
	var out bytes.Buffer
	w, err := NewWriter(&out, testInfo())
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		w.Event(&events[i])
		if i%40 == 39 {
			w.Tick(events[i].Time + 1_000)
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), events
}

// prefix fails the test unless got are the first of want.
func prefix(t *testing.T, what string, at int, got, want []event.Event) {
	t.Helper()
	if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
		t.Fatalf("%s %d: %d events are read that were not recorded so", what, at, len(got))
	}
}

// Of a recording of which one bit is wrong, wherever that is, what is read is
// what was recorded, as far as it goes; and where that is not all, an error
// says so.
func TestReader_EachByteFlipped(t *testing.T) {
	file, events := small(t)
	for at := range file {
		for bit := range 8 {
			if testing.Short() && bit != at%8 {
				continue
			}
			broken := bytes.Clone(file)
			broken[at] ^= 1 << bit
			got, _, err := read(broken)
			if err == nil {
				t.Fatalf("byte %d, bit %d: it is read as if it were whole", at, bit)
			}
			prefix(t, "byte", at, got, events)
		}
	}
}

// Of a recording that is cut off, what is before the cut is read; what says
// where a block was cut through is an error, and what was not ended in order
// says so.
func TestReader_CutAnywhere(t *testing.T) {
	file, events := small(t)
	whole := 0 // cuts between two blocks
	last := 0
	for n := range file {
		r, err := NewReader(bytes.NewReader(file[:n]))
		if err != nil {
			if damage := new(DamageError); !errors.Is(err, ErrNotRecording) && (!errors.As(err, &damage) || !damage.Cut) {
				t.Fatalf("cut at %d: %v", n, err)
			}
			continue
		}
		defer r.Close()
		var got []event.Event
		for {
			var e *Entry
			if e, err = r.Next(); err != nil {
				break
			}
			if e.Kind == EventEntry {
				got = append(got, e.Event)
			}
		}
		prefix(t, "cut at", n, got, events)
		if len(got) < last {
			t.Fatalf("cut at %d: %d events, and less was more: %d", n, len(got), last)
		}
		last = len(got)
		if r.Ended() {
			t.Fatalf("cut at %d: it says that it was ended in order", n)
		}
		if len(got) > 0 && r.Good() < got[len(got)-1].Time {
			t.Fatalf("cut at %d: good until %d, and an event is of %d", n, r.Good(), got[len(got)-1].Time)
		}
		damage := new(DamageError)
		switch {
		case err == io.EOF:
			whole++
		case !errors.As(err, &damage) || !damage.Cut || damage.Good != r.Good():
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if blocks := len(events)/40 + 1; whole != blocks-1 {
		t.Errorf("%d cuts lie between blocks, want %d", whole, blocks-1)
	}
}

func TestReader_BlocksInAnotherOrder(t *testing.T) {
	file, events := small(t)
	var starts []int
	for at := fileHead; at < len(file); {
		var h head
		if !h.parse(file[at : at+8+headBytes]) {
			t.Fatal("no head of a block")
		}
		starts = append(starts, at)
		at += 8 + headBytes + int(h.payload)
	}
	a, b, c := starts[1], starts[2], starts[3]
	for name, broken := range map[string][]byte{
		"one is missing":    slices.Concat(file[:a], file[b:]),
		"two are exchanged": slices.Concat(file[:a], file[b:c], file[a:b], file[c:]),
		"one comes twice":   slices.Concat(file[:b], file[a:]),
		"another follows":   slices.Concat(file, file[fileHead:]),
	} {
		got, _, err := read(broken)
		if damage := new(DamageError); !errors.As(err, &damage) {
			t.Errorf("%s: %v", name, err)
		}
		prefix(t, name, 0, got, events)
	}
}

func TestReader_AnotherFile(t *testing.T) {
	newer := slices.Clone(appendFileHead(nil))
	newer[fileHead-1] = Version + 1
	for name, file := range map[string]string{
		"empty": "", "text": "type,time,mono_ns\nstate,2026-05-17T00:00:00Z,1\n", "a magic number alone": string(newer[:8]),
	} {
		if _, err := NewReader(bytes.NewReader([]byte(file))); !errors.Is(err, ErrNotRecording) {
			t.Errorf("%s: %v", name, err)
		}
	}
	want := "it is of version 2, and this tcptrace knows up to 1: take a newer one"
	if _, err := NewReader(bytes.NewReader(newer)); err == nil || err.Error() != want {
		t.Errorf("of a newer version: %v, want %s", err, want)
	}
}
