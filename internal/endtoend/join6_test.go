//go:build linux

package endtoend

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/join"
	"github.com/tcptrace/tcptrace/internal/lab"
)

// Two hosts that speak IPv6, with clocks 3 s apart: each connection is joined with
// its very own other end, also where the server resets it.
func TestJoin_IPv6(t *testing.T) {
	const n, ahead = 101, 3 * time.Second
	dir := t.TempDir()
	raw := []string{filepath.Join(dir, "client.raw"), filepath.Join(dir, "server.raw")}
	story, err := lab.Lookup("reset-unread")
	if err != nil {
		t.Fatal(err)
	}
	var truth *lab.Truth
	lab.Unshielded(t.Logf, func() {
		var tracers []*tracer
		params := lab.Params{N: n, IPv6: true, Network: lab.Veth, Ready: func(netns []uint32) error {
			for i, inode := range netns {
				tracers = append(tracers, start(t, nil, "record", raw[i], "--force", "--netns", fmt.Sprint(inode)))
			}
			return nil
		}, Held: func(*lab.Truth) error {
			for _, tr := range tracers {
				if status := tr.interrupt(); status != 0 {
					t.Errorf("exit status %d: %s", status, tr.stderr.String())
				}
			}
			return nil
		}}
		if truth, err = story.Run(t.Context(), params); err != nil {
			t.Fatal(err)
		}
	})
	web, db := filepath.Join(dir, "web.tcpt"), filepath.Join(dir, "db.tcpt")
	moved(t, raw[0], web, "web-1", 0)
	moved(t, raw[1], db, "db-1", ahead)
	want := map[uint64]uint64{}
	for _, c := range truth.Conns {
		want[uint64(c.ClientCookie)] = uint64(c.ServerCookie)
	}
	a, b := endsIn(t, web), endsIn(t, db)
	got := join.Match(a, b)
	for _, p := range got.Pairs {
		if want[a[p.A].ID.Cookie] != b[p.B].ID.Cookie || !p.Numbered || p.Translated || p.Ambiguous {
			t.Errorf("the client %x is joined with the server %x, want %x; %+v", a[p.A].ID.Cookie, b[p.B].ID.Cookie, want[a[p.A].ID.Cookie], p)
		}
	}
	if len(want) != n || len(got.Pairs) != n || len(got.Translations) > 0 {
		t.Errorf("%d of %d connections are joined, want %d; translations %v", len(got.Pairs), len(want), n, got.Translations)
	}
	if off := (got.Offset - ahead).Abs(); !got.OffsetKnown || off > got.Within+time.Millisecond {
		t.Errorf("the clocks differ by %v within %v, want %v", got.Offset, got.Within, ahead)
	}
}
