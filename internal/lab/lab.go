//go:build linux

package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Defaults and bounds of Params.
const (
	DefaultN = 23     // a prime: a doubled or lost event cannot hide in it
	MaxN     = 10_007 // connections of one run, if Story.Most does not say otherwise
)

// A Network is what a story's packets cross.
type Network string

const (
	Loopback Network = "loopback" // one namespace, both ends on its lo
	Veth     Network = "veth"     // two namespaces joined by a veth pair
	Wire     Network = "wire"     // two namespaces joined by TUN devices and our relay
)

// Params say how to run a story. The zero value is 23 connections over IPv4.
type Params struct {
	N       int           // connections; 0: the story's Count. For churn the most to make; 0: as many as Duration allows
	IPv6    bool          // else IPv4
	Network Network       // "": the story's own first choice
	Hold    time.Duration // how long to stay in the story's state; 0: its default

	// Churn only.
	Rate     int           // connections per second; 0: as many as go
	Duration time.Duration // 0: 2 s
	Threads  int           // client threads, and as many server threads; 0: 2

	// Ready, if set, is called when the namespaces exist and nothing has
	// happened in them yet: no socket, no packet. Traffic begins when it
	// returns; an error ends the run.
	Ready func(netns []uint32) error

	// Held, if set, is called once, when all connections are in the state
	// that the story is about (in CLOSE_WAIT, in TIME_WAIT, over), and the
	// story goes on when it returns. The Truth is as far as known by then.
	Held func(*Truth) error

	// Over, if set, is called once, when all traffic is over and the namespaces
	// still exist. A tracer that ends here sees no other namespace, to which
	// the kernel gives the same inode later.
	Over func(*Truth) error
}

// A Story is one way for TCP connections to live and end.
type Story struct {
	Name string
	Doc  string // one line
	Rule string // the finding that it is about, as "tcptrace why" calls it; "": none

	// Client and Server are the states of the two ends, first to last; nil
	// where an end has no socket.
	Client, Server []tcp.State

	Networks []Network     // it can run over; the first by default
	Hold     time.Duration // Params.Hold's default; 0: nothing is held
	MinHold  time.Duration
	MaxHold  time.Duration // 0: MaxHold of the package
	Takes    time.Duration // it lasts at least about so long beside Hold
	Count    int           // Params.N's default; 0: DefaultN
	Most     int           // the largest Params.N; 0: MaxN

	together bool          // all connections are open at once, both ends in one process if not cast
	spread   bool          // by a share in each of some processes
	cast     bool          // other processes play in it: see Act
	needs    func() error  // says what this kernel lacks, if anything; nil: nothing special
	patience time.Duration // how long nothing may change; 0: patience of the package
	endless  bool          // N is no bound on what it holds: churn
	sysctls  [][2]string
	resent   [2]Resent // by either end of each connection, in stories of loss: see Plans
	play     func(context.Context, *stage) error
}

// MaxHold is the longest that a story may hold its state, where nothing in it
// times out earlier.
const MaxHold = time.Hour

// Stories lists all stories, related ones together.
func Stories() []Story {
	return slices.Concat(closeStories(), resetStories(), timeWaitStories(), handshakeStories(), ownerStories(), churnStories(), crowdStories(), findingStories())
}

// Lookup returns the story of that name, which may be one that Stories does
// not list, since it leaves too much to chance.
func Lookup(name string) (Story, error) {
	var known []string
	for _, s := range slices.Concat(Stories(), lossyStories(), lossStories(), stormStories(), twinStories(), askedStories(), hostStories()) {
		if s.Name == name {
			return s, nil
		}
		known = append(known, s.Name)
	}
	return Story{}, fmt.Errorf("no story is called %q: the stories are %s", name, strings.Join(known, " "))
}

// A Transition is one change of state.
type Transition struct {
	Old, New tcp.State
}

func (t Transition) String() string { return t.Old.String() + "->" + t.New.String() }

// Transitions lists the transitions that either end makes, each once, the
// client's first.
func (s Story) Transitions() []Transition {
	var all []Transition
	for _, path := range [][]tcp.State{s.Client, s.Server} {
		for i := 1; i < len(path); i++ {
			if t := (Transition{path[i-1], path[i]}); !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	return all
}

// ClientStates spells Client as a Truth does.
func (s Story) ClientStates() []string { return names(s.Client) }

// ServerStates spells Server as a Truth does.
func (s Story) ServerStates() []string { return names(s.Server) }

// Check says whether the story can be run so, and if not, what can. Run
// returns the same error.
func (s Story) Check(p Params) error {
	_, err := s.complete(p)
	return s.named(err)
}

func (s *Story) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("story %s: %w", s.Name, err)
}

// Run plays the story in namespaces of its own and returns when they are gone
// again, so that every state that it speaks of has ended. It checks itself
// against the kernel and returns an error where the traffic was not as told.
// Nothing is left behind, whatever happens.
func (s Story) Run(ctx context.Context, p Params) (*Truth, error) {
	p, err := s.complete(p)
	if err != nil {
		return nil, s.named(err)
	}
	t, err := s.run(ctx, p)
	return t, s.named(err)
}

// complete fills in what p leaves open and refuses what cannot be done.
func (s *Story) complete(p Params) (Params, error) {
	if p.Network == "" {
		p.Network = s.Networks[0]
	}
	if !slices.Contains(s.Networks, p.Network) {
		return p, fmt.Errorf("network %q: it runs over %v", p.Network, s.Networks)
	}
	if s.endless {
		err := completeChurn(&p)
		return p, err
	}
	if p.Rate != 0 || p.Duration != 0 || p.Threads != 0 {
		return p, fmt.Errorf("rate, duration and threads are for churn alone")
	}
	if err := s.possible(); err != nil {
		return p, err
	}
	if p.N == 0 {
		p.N = cmp.Or(s.Count, DefaultN)
	}
	if most := cmp.Or(s.Most, MaxN); p.N < 1 || p.N > most {
		return p, fmt.Errorf("%d connections: 1 to %d can be made", p.N, most)
	}
	if err := s.completeHold(&p); err != nil {
		return p, err
	}
	return p, s.checkDescriptors(p.N)
}

// possible says why this program, on this kernel, cannot run the story.
func (s *Story) possible() error {
	if s.cast && !actable {
		return errors.New("it plays in several processes: the program must call lab.Act first")
	}
	if s.needs != nil {
		return s.needs()
	}
	return nil
}

func (s *Story) completeHold(p *Params) error {
	if p.Hold == 0 {
		p.Hold = s.Hold
		return nil
	}
	longest := s.MaxHold
	if longest == 0 {
		longest = MaxHold
	}
	switch {
	case s.Hold == 0:
		return fmt.Errorf("hold %v: it holds no state", p.Hold)
	case p.Hold < s.MinHold || p.Hold > longest:
		return fmt.Errorf("hold %v: %v to %v are possible", p.Hold, s.MinHold, longest)
	}
	return nil
}

// spareDescriptors is how many descriptors a process has beside those of connections.
const spareDescriptors = 64

func descriptorLimit() (lim unix.Rlimit, err error) {
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return lim, fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	return lim, nil
}

func (s *Story) checkDescriptors(n int) error {
	lim, err := descriptorLimit()
	if err != nil {
		return err
	}
	need := uint64(2*n + spareDescriptors)
	switch {
	case !s.together:
		return nil
	case s.spread:
		need = uint64(share(n, workers-1) + spareDescriptors)
	case s.cast:
		need = uint64(n + spareDescriptors)
	}
	if need > lim.Cur {
		return fmt.Errorf("%d connections need %d descriptors and %d are allowed: raise ulimit -n", n, need, lim.Cur)
	}
	return nil
}
