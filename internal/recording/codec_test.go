package recording

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

var compare = cmp.Options{
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
}

func testInfo() Info {
	return Info{
		Program: "tcptrace test", Host: "alpha", Kernel: "6.18.0", Session: "5e55104", Part: 1,
		Boot: time.Date(2026, 5, 17, 0, 0, 0, 0, time.UTC), Began: 1_000_000,
	}
}

// write records events and returns the file.
func write(t testing.TB, events []event.Event) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, testInfo())
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		w.Event(&events[i])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// read returns the events of a file, and how reading ended: nil at its end.
func read(file []byte) (events []event.Event, info Info, err error) {
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, Info{}, err
	}
	defer r.Close()
	for {
		e, err := r.Next()
		if err == io.EOF {
			return events, *r.Info(), nil
		}
		if err != nil {
			return events, *r.Info(), err
		}
		if e.Kind == EventEntry {
			events = append(events, e.Event)
		}
	}
}

// fill sets every field of a value, and of what it points to, to something
// that is not zero and that n decides.
func fill(t *testing.T, v reflect.Value, path string, n *uint64) {
	*n++
	switch v := v.Addr().Interface().(type) {
	case *netip.AddrPort:
		*v = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(*n >> 8), byte(*n)}), uint16(*n*7919))
		return
	case *event.Kind:
		*v = event.Kind(*n%uint64(event.NumKinds-1)) + 1
		return
	case *event.Cause:
		*v = event.Cause(*n%8) + 1
		return
	case *event.Op:
		*v = event.Op(*n%2) + 1
		return
	case *tcp.State:
		*v = tcp.State(*n%(tcp.NumStates-1)) + 1
		return
	case **event.Label:
		*v = new(event.Label)
		fill(t, reflect.ValueOf(*v).Elem(), path, n)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), path+"."+v.Type().Field(i).Name, n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), path, n)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(fmt.Sprintf("%s %d \xff", path, *n))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(*n*0x9E3779B97F4A7C15>>(64-v.Type().Bits()) | 1)
	case reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n*0x9E3779B97F4A7C15)>>(64-v.Type().Bits()) | 1)
	default:
		t.Fatalf("%s is of kind %v, which recordings do not know yet: add it to fields.go and here", path, v.Kind())
	}
}

// Whoever adds a field to event.Event sees here that recordings lose it: give it
// a column (column.go) and code it (fields.go).
func TestEvent_EachFieldIsRecorded(t *testing.T) {
	var events []event.Event
	var n uint64
	whole := reflect.TypeFor[event.Event]()
	for i := range whole.NumField() {
		var ev event.Event
		ev.Kind = event.State
		fill(t, reflect.ValueOf(&ev).Elem().Field(i), whole.Field(i).Name, &n)
		events = append(events, ev)
	}
	for range 100 {
		var ev event.Event
		fill(t, reflect.ValueOf(&ev).Elem(), "Event", &n)
		events = append(events, ev)
	}
	got, info, err := read(write(t, events))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events, got, compare); diff != "" {
		t.Errorf("events are not as they were recorded (-recorded +read):\n%s", diff)
	}
	if diff := cmp.Diff(testInfo(), info, compare); diff != "" {
		t.Errorf("-recorded +read:\n%s", diff)
	}
}

func TestNames_EachIsOne(t *testing.T) {
	if got, want := len(kindsByName), int(event.NumKinds)-1+len(rowNames); got != want {
		t.Errorf("%d kinds have names of their own, want %d: a recording holds kinds by name", got, want)
	}
	if _, ok := kindsByName["unknown"]; ok {
		t.Error("a kind has no name in event.Kind's String")
	}
}

// Rows name sockets in six ways, which depend on what came before: mixed at
// random, with few addresses and cookies, they come back as they were.
func TestEvent_SocketsAndAddressesMixed(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	addrs := []netip.Addr{
		{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("::1"),
		netip.MustParseAddr("::ffff:10.0.0.1"), netip.MustParseAddr("fe80::1%eth0"),
	}
	pick := func() netip.AddrPort {
		a := addrs[random.IntN(len(addrs))]
		return netip.AddrPortFrom(a, uint16([]int{0, 1, 80, 65535}[random.IntN(4)]))
	}
	tasks := []event.Task{{}, {PID: 7}, {PID: 7, Comm: [16]byte{'a', 0, 'b'}}, {PID: 8, UID: 1 << 31, Cgroup: 1 << 63}}
	events := make([]event.Event, 70_001)
	for i := range events {
		events[i] = event.Event{
			Kind: event.State, Time: event.Time(random.Int64()>>random.IntN(63) - 5),
			ID:    event.ID{NetNS: uint32(random.IntN(3)), Cookie: uint64(random.IntN(20))},
			Local: pick(), Remote: pick(), Task: tasks[random.IntN(len(tasks))],
		}
	}
	got, _, err := read(write(t, events))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(events) {
		t.Fatalf("%d events, want %d", len(got), len(events))
	}
	for i := range events {
		if got[i] != events[i] {
			t.Fatalf("event %d: %s", i, cmp.Diff(events[i], got[i], compare))
		}
	}
}

// The kernel's counters come back at their place among the events.
func TestCounters_AreRecordedAtTheirPlace(t *testing.T) {
	want := []Counters{
		{Spaces: []CountedSpace{{NetNS: 7, Name: "a \xf0\x9f\x90\xa7", From: 1, To: 2, FinTimeout: time.Minute, Values: map[string]int64{"TW": 3, "CurrEstab": -1}}}},
		{Last: true, Spaces: []CountedSpace{}},
	}
	var file bytes.Buffer
	w, err := NewWriter(&file, testInfo())
	if err != nil {
		t.Fatal(err)
	}
	w.Counters(&want[0])
	w.Event(&event.Event{Kind: event.State, Time: 5})
	w.Counters(&want[1])
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i, kind := range []EntryKind{CountersEntry, EventEntry, CountersEntry} {
		e, err := r.Next()
		if err != nil || e.Kind != kind {
			t.Fatalf("entry %d is of kind %d, error %v; want %d", i, e.Kind, err, kind)
		}
		if kind == CountersEntry {
			if diff := cmp.Diff(want[i/2], e.Counters); diff != "" {
				t.Errorf("-recorded +read:\n%s", diff)
			}
		}
	}
}
