//go:build linux

package probe_test

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
)

type classes = [conn.NumClasses]uint32

// A repair is what one end does about a loss, if nothing but the story's plan
// delays a segment.
type repair struct {
	classes  classes
	lost     conn.LostWhat
	untold   bool // lost may not be known: what tells it comes only with more data
	outcome  conn.Outcome
	needless uint32
	cost     time.Duration // at least
}

// A loss is one that a story of the laboratory brings about.
type loss struct {
	story          string
	client, server repair
}

func losses() []loss {
	const ms = time.Millisecond
	return []loss{
		{
			// The timers are 200 ms, and 400 ms.
			story:  "loss-tail",
			client: repair{classes: classes{conn.ClassTLP: 1, conn.ClassRTO: 2}, lost: conn.LostData, outcome: conn.OutcomeRecovered, cost: 550 * ms},
			server: repair{classes: classes{conn.ClassTLP: 1}, lost: conn.LostData, untold: true, outcome: conn.OutcomeRecovered},
		},
		{
			story:  "loss-middle",
			client: repair{classes: classes{conn.ClassFast: 1}, lost: conn.LostData, outcome: conn.OutcomeRecovered},
		},
		{
			story:  "loss-acks",
			client: repair{classes: classes{conn.ClassTLP: 1, conn.ClassRTO: 2}, lost: conn.LostACKs, outcome: conn.OutcomeRecovered, needless: 1, cost: 550 * ms},
		},
		{
			story:  "loss-fin",
			client: repair{classes: classes{conn.ClassFIN: 2}, outcome: conn.OutcomeRecovered, cost: 150 * ms},
		},
		{
			story:  "loss-syn",
			client: repair{classes: classes{conn.ClassSYN: 1}, outcome: conn.OutcomeRecovered, cost: 980 * ms},
		},
		{
			story:  "loss-synack",
			server: repair{classes: classes{conn.ClassSYNACK: 1}, outcome: conn.OutcomeRecovered, cost: 980 * ms},
		},
		{
			story:  "loss-dead",
			client: repair{classes: classes{conn.ClassTLP: 1, conn.ClassRTO: 3}, outcome: conn.OutcomeFailed, cost: 2900 * ms},
		},
		{story: "loss-some"},
	}
}

// Real losses, chosen on the wire: each copy is seen, at the right end, classed
// by what the wire saw of it, and in sum what the kernel counts. Where the
// copies are those that the plan brings about, the classes and the one episode
// are known exactly.
func TestLive_Losses(t *testing.T) {
	for _, loss := range lab.Sample(2, losses()) {
		t.Run(loss.story, func(t *testing.T) {
			t.Parallel()
			families(t, func(t *testing.T, params lab.Params) {
				t.Parallel()
				truth, seen := watch(t, loss.story, params, probe.Options{})
				if seen.lost != 0 || seen.received != seen.sent {
					t.Errorf("%d events lost, %d sent and %d received", seen.lost, seen.sent, seen.received)
				}
				compareResent(t, loss, truth, seen)
				compareCounter(t, truth, seen)
			})
		})
	}
}

func compareResent(t *testing.T, loss loss, truth *lab.Truth, seen *sighting) {
	t.Helper()
	story, err := lab.Lookup(loss.story)
	if err != nil {
		t.Fatal(err)
	}
	client, server, planned := story.Plans()
	asPlanned := 0
	for i := range truth.Conns {
		c := &truth.Conns[i]
		ends := []struct {
			life         *life
			resent, plan lab.Resent
			want         *repair
		}{
			{seen.end(t, c.ClientNetNS, c.ClientCookie, c.Client, c.Server), c.ClientResent, client, &loss.client},
			{seen.end(t, c.ServerNetNS, c.ServerCookie, c.Server, c.Client), c.ServerResent, server, &loss.server},
		}
		for _, end := range ends {
			if end.life == nil {
				continue
			}
			compareWire(t, end.life, end.resent)
			if planned && end.plan.Sum() > 0 && end.resent == end.plan {
				asPlanned++
				end.want.compare(t, end.life)
			}
		}
	}
	if planned && asPlanned == 0 {
		t.Log("no connection went as planned: the machine is too busy for more than sums")
	}
}

// compareWire holds the classes of one end against the copies that the wire saw,
// and its episodes against the classes.
func compareWire(t *testing.T, l *life, want lab.Resent) {
	t.Helper()
	c := l.conn
	got := lab.Resent{
		SYN:    int(c.Retransmits[conn.ClassSYN]),
		SYNACK: int(c.Retransmits[conn.ClassSYNACK]),
		FIN:    int(c.Retransmits[conn.ClassFIN]),
	}
	got.Data = int(c.Resent()) - got.Sum()
	if got != want || c.Retransmits[conn.ClassUnknown]+c.Retransmits[conn.ClassUnsent] != 0 {
		t.Errorf("%v -> %v: sent again %v; the wire saw %+v", c.Local, c.Remote, spelled(&c.Retransmits), want)
	}
	var inEpisodes classes
	var cost time.Duration
	for _, e := range l.episodes {
		for class, n := range e.Classes {
			inEpisodes[class] += n
		}
		lost, _ := e.TimeLost(0)
		cost += lost
	}
	if inEpisodes != c.Retransmits || int(c.Episodes) != len(l.episodes) || c.EpisodeTime != cost {
		t.Errorf("%v -> %v: sent again %v in %d episodes that cost %v; the connection says %v, %d, %v", c.Local, c.Remote,
			spelled(&inEpisodes), len(l.episodes), cost, spelled(&c.Retransmits), c.Episodes, c.EpisodeTime)
	}
}

// compare holds the one loss of a connection's end against what must be.
func (r *repair) compare(t *testing.T, l *life) {
	t.Helper()
	c := l.conn
	if c.Retransmits != r.classes {
		t.Errorf("%v -> %v: sent again %v, want %v", c.Local, c.Remote, spelled(&c.Retransmits), spelled(&r.classes))
	}
	if len(l.episodes) != 1 {
		t.Errorf("%v -> %v: %d episodes, want 1", c.Local, c.Remote, len(l.episodes))
		return
	}
	e := l.episodes[0]
	lost := r.lost
	if r.untold && e.Lost == conn.LostUnknown {
		lost = e.Lost
	}
	if cost, _ := e.TimeLost(0); e.Outcome != r.outcome || e.Lost != lost || e.Needless < r.needless || cost < r.cost {
		t.Errorf("%v -> %v: %v, lost %q, %d needless, cost %v; want %v, %q, at least %d and %v: %+v", c.Local, c.Remote,
			e.Outcome, e.Lost, e.Needless, cost, r.outcome, r.lost, r.needless, r.cost, e)
	}
	if e.Spurious() != (c.SpuriousEpisodes == 1) {
		t.Errorf("%v -> %v: spurious %v, and %d of the connection", c.Local, c.Remote, e.Spurious(), c.SpuriousEpisodes)
	}
}

// compareCounter holds the sum of all classes against RetransSegs of each
// namespace.
func compareCounter(t *testing.T, truth *lab.Truth, seen *sighting) {
	t.Helper()
	sums := map[uint32]uint64{}
	for _, l := range seen.lives {
		sums[l.conn.ID.NetNS] += l.conn.Resent()
	}
	for _, ns := range truth.NetNS {
		if got := sums[ns.Inode]; got != ns.Counters["RetransSegs"] {
			t.Errorf("%s: %d segments sent again, the kernel counts %d", ns.Role, got, ns.Counters["RetransSegs"])
		}
	}
}

// spelled spells what is not zero.
func spelled(c *classes) map[string]uint32 {
	words := map[string]uint32{}
	for class, n := range c {
		if n != 0 {
			words[conn.Class(class).String()] = n
		}
	}
	return words
}
