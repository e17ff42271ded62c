//go:build linux

package lab_test

import (
	"os"
	"testing"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// A cast says which processes play in a story: how many listen and accept, and
// who reads and closes.
type cast struct {
	listeners, accepters, threads int  // the largest number of each; threads 0: not told
	noReader                      bool // nobody reads at the server's end
	handsOver                     bool // who accepts is not who reads and closes
	listenerServes                bool // who listens is who accepts
}

var casts = map[string]cast{
	"prefork":         {listeners: 1, accepters: 4, threads: 4},
	"threads":         {listeners: 1, accepters: 1, threads: 4, listenerServes: true},
	"goroutines":      {listeners: 1, accepters: 1, listenerServes: true},
	"reuseport":       {listeners: 4, accepters: 4, threads: 4, listenerServes: true},
	"fd-passing":      {listeners: 1, accepters: 1, threads: 1, handsOver: true, listenerServes: true},
	"fork-handover":   {listeners: 1, accepters: 1, threads: 1, handsOver: true, listenerServes: true},
	"io-uring-accept": {listeners: 1, accepters: 1, listenerServes: true},
	"http":            {listeners: 1, accepters: 1, listenerServes: true},
	"writes-first":    {listeners: 1, accepters: 1, threads: 1, noReader: true, listenerServes: true},
	"process-exit":    {listeners: 1, accepters: 1, threads: 1, listenerServes: true},
	"process-killed":  {listeners: 1, accepters: 1, threads: 1, listenerServes: true},
	"idle":            {listeners: 1, accepters: 4, threads: 4},
}

// TestRun_Casts: each process has told what it did, and none of it was left to
// the process that runs the story. Needs root.
func TestRun_Casts(t *testing.T) {
	needNamespaces(t)
	for name, want := range casts {
		t.Run(name, func(t *testing.T) {
			story := lookup(t, name)
			needRing(t, story)
			truth, err := story.Run(t.Context(), lab.Params{N: 211, Network: lab.Veth})
			if err != nil {
				t.Fatal(err)
			}
			checkCast(t, truth, want)
		})
	}
}

func checkCast(t *testing.T, truth *lab.Truth, want cast) {
	listeners, accepters, threads := map[int]bool{}, map[int]bool{}, map[int]bool{}
	for _, l := range truth.Listeners {
		listeners[l.PID] = true
	}
	for i, c := range truth.Conns {
		accepters[c.AccepterPID] = true
		if c.AccepterTID != 0 {
			threads[c.AccepterTID] = true
		}
		server := c.AccepterPID
		switch {
		case server == 0 || server == os.Getpid() || c.ServerPID != server:
			t.Errorf("connection %d: accepted by %d, server %d", i, server, c.ServerPID)
		case (c.ReaderPID == 0) != want.noReader || want.handsOver && c.ReaderPID == server:
			t.Errorf("connection %d: accepted by %d, read by %d", i, server, c.ReaderPID)
		case c.ServerCloserPID == 0 || (c.ServerCloserPID != server) != want.handsOver:
			t.Errorf("connection %d: accepted by %d, closed by %d", i, server, c.ServerCloserPID)
		case listeners[server] != want.listenerServes:
			t.Errorf("connection %d: accepted by %d, listened for by %v", i, server, listeners)
		case c.ClientCloserPID != 0 && c.ClientCloserPID != c.ClientPID:
			t.Errorf("connection %d: opened by %d, closed by %d", i, c.ClientPID, c.ClientCloserPID)
		}
	}
	if len(listeners) != want.listeners || len(accepters) > want.accepters || len(threads) > want.threads {
		t.Errorf("%d processes listened, %d accepted in %d threads; want %d, %d and %d at most",
			len(listeners), len(accepters), len(threads), want.listeners, want.accepters, want.threads)
	}
	if want.accepters > 1 && len(accepters) == 1 || want.threads > 1 && len(threads) == 1 {
		t.Error("one of them did all the work: the story is not told")
	}
}
