package conn

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// sleepy lets records sleep as soon as an event is handled.
func sleepy(t *Tracker) *Tracker {
	t.index.awakeLimit = -len(t.index.ended)
	return t
}

// What is told of connections that sleep between their events is told of those
// that do not, to the last field.
func TestNap_ChangesNothing(t *testing.T) {
	for seed := range uint64(20) {
		data := make([]byte, 500*eventBytes)
		random := rand.New(rand.NewPCG(seed, 1))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		compareNaps(t, decodeEvents(data))
	}
	var lives []event.Event
	for _, ev := range lifeTemplate {
		for cookie := range uint64(20) {
			next := ev
			if next.ID.Cookie != 0 {
				next.ID.Cookie += cookie << 8
			}
			next.Local = netip.AddrPortFrom(next.Local.Addr(), next.Local.Port()+uint16(cookie))
			next.Remote = netip.AddrPortFrom(next.Remote.Addr(), next.Remote.Port()+uint16(cookie))
			lives = append(lives, next)
		}
	}
	if slept := compareNaps(t, lives); slept == 0 {
		t.Error("nobody slept")
	}
}

func compareNaps(t *testing.T, events []event.Event) (slept int) {
	t.Helper()
	options := Options{MaxConnections: fuzzBound, MaxSpans: 8, Remember: 3, Reuse: true}
	plain, napping := New(options), sleepy(New(options))
	var want, got []string
	for i := range events {
		want, got = want[:0], got[:0]
		ev := events[i]
		plain.Handle(&ev, func(c *Change) { want = append(want, inFull(c)) })
		ev = events[i]
		napping.Handle(&ev, func(c *Change) { got = append(got, inFull(c)) })
		if !slices.Equal(got, want) {
			t.Fatalf("event %d, %v: got\n%q\nwant\n%q", i, events[i].Kind, got, want)
		}
		slept += napping.index.live + 3 - napping.index.wakeful()
	}
	want, got = want[:0], got[:0]
	for c := range plain.Open {
		want = append(want, fmt.Sprintf("%+v", *c))
	}
	for c := range napping.Open {
		got = append(got, fmt.Sprintf("%+v", *c))
	}
	end := events[len(events)-1].Time + 1
	plain.Finish(end, func(c *Change) { want = append(want, inFull(c)) })
	napping.Finish(end, func(c *Change) { got = append(got, inFull(c)) })
	if !slices.Equal(got, want) {
		t.Fatalf("in the end: got\n%q\nwant\n%q", got, want)
	}
	if plain.Stats() != napping.Stats() {
		t.Fatalf("got %+v, want %+v", napping.Stats(), plain.Stats())
	}
	if n := len(napping.index.people.numbers); n != 0 || napping.index.wakeful() != 0 {
		t.Fatalf("%d people are remembered, and %d records", n, napping.index.wakeful())
	}
	return max(slept, 0)
}

func inFull(c *Change) string {
	if c.Conn == nil {
		return line(c)
	}
	return fmt.Sprintf("%s %+v", line(c), *c.Conn)
}

// Each field of a record is in its nap, or keeps it awake.
func TestNap_HoldsEveryField(t *testing.T) {
	var x index
	x.init(&Options{Remember: 1, Reuse: true})
	fresh := func() *record {
		r := &record{}
		r.ID = event.ID{NetNS: 7, Cookie: 9}
		r.Local, r.Remote = clientAddr, serverAddr
		r.State, r.Since, r.Opened = tcp.Established, 5, 5
		r.Spans = append(r.firstSpans[:0], Span{State: tcp.Established, Begin: 5})
		return r
	}
	if !fresh().restful() {
		t.Fatal("an idle connection cannot sleep")
	}
	fields := 0
	eachField(reflect.ValueOf(fresh()).Elem(), "", func(string, reflect.Value) { fields++ })
	kept := 0
	for field := range fields {
		r, name, at := fresh(), "", 0
		eachField(reflect.ValueOf(r).Elem(), "", func(path string, v reflect.Value) {
			if at++; at == field+1 {
				name = path
				change(v)
			}
		})
		if !r.restful() {
			continue
		}
		kept++
		var n nap
		x.pack(r, &n)
		got := &record{}
		x.unpack(&n, got)
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s is forgotten: got\n%+v\nwant\n%+v", name, got, r)
		}
	}
	if kept < 60 {
		t.Errorf("%d of %d fields may differ in a nap", kept, fields)
	}
}

// eachField visits the fields of a record that a nap may hold, down to numbers
// and addresses.
func eachField(v reflect.Value, path string, visit func(string, reflect.Value)) {
	switch path {
	case ".place", ".fresh", ".firstSpans", ".Connection.Number", ".Connection.Spans":
		return
	}
	switch {
	case v.Type() == reflect.TypeFor[netip.AddrPort]():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			eachField(v.Field(i), path+"."+v.Type().Field(i).Name, visit)
		}
		return
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			eachField(v.Index(i), path+fmt.Sprintf("[%d]", i), visit)
		}
		return
	}
	visit(path, reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem())
}

// change sets a field to another value.
func change(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[netip.AddrPort]():
		v.Set(reflect.ValueOf(netip.MustParseAddrPort("[2001:db8::1]:9")))
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	default:
		v.SetUint(v.Uint() + 1)
	}
}
