package screen

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// maxTroubles bounds the groups of resets, and those of retransmits.
const maxTroubles = 1024

// A TroubleKey tells groups of resets, or of retransmits, apart. It holds the
// service's port, never one that a client was given.
type TroubleKey struct {
	Received bool            // of resets alone
	Cause    conn.ResetCause // of resets alone
	PID      uint32          // of our end; 0: not known
	NetNS    uint32
	Remote   netip.Addr
	Service  uint16 // 0 where it is not known which end is the server
	Role     conn.Role
}

// A Trouble is resets, or segments sent again, that have one TroubleKey.
type Trouble struct {
	Key         TroubleKey
	Owner       conn.Owner
	Actor       event.Task // who caused the last reset, where a process did
	PeerOwner   conn.Owner // of the other end of the last, where that is on this host
	Inferred    bool       // that of the last
	First, Last event.Time
	Count       uint64 // resets, or segments
	Classes     [conn.NumClasses]uint64
	Episodes    uint64 // of loss
	Spurious    uint64 // of these: nothing was lost but acknowledgements
	TimeLost    time.Duration

	PerSecond float64 // of late, when the View was made
	rate      rate
}

// troubles keeps groups. Above the bound those make room that were quiet for
// longest.
type troubles struct {
	byKey   map[TroubleKey]*Trouble
	dropped int
}

func newTroubles() troubles { return troubles{byKey: map[TroubleKey]*Trouble{}} }

func (x *troubles) get(k TroubleKey, at event.Time) *Trouble {
	t := x.byKey[k]
	if t == nil {
		if len(x.byKey) >= maxTroubles {
			x.thin()
		}
		t = &Trouble{Key: k, First: at}
		x.byKey[k] = t
	}
	t.Last = max(t.Last, at)
	return t
}

// thin drops an eighth of the groups, those that were quiet for longest.
func (x *troubles) thin() {
	all := make([]*Trouble, 0, len(x.byKey))
	for _, t := range x.byKey {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *Trouble) int { return cmp.Compare(a.Last, b.Last) })
	for _, t := range all[:len(all)/8] {
		delete(x.byKey, t.Key)
		x.dropped++
	}
}

// service returns the port of the end that is the server.
func service(role conn.Role, local, remote netip.AddrPort) uint16 {
	switch role {
	case conn.Client:
		return remote.Port()
	case conn.Server:
		return local.Port()
	}
	return 0
}

func keyOfReset(r *Reset) TroubleKey {
	return TroubleKey{
		Received: r.Received, Cause: r.Cause, PID: r.Owner.Task.PID, NetNS: r.ID.NetNS,
		Remote: r.Remote.Addr().Unmap(), Service: service(r.Role, r.Local, r.Remote), Role: r.Role,
	}
}

func (x *troubles) reset(r *Reset) {
	t := x.get(keyOfReset(r), r.Time)
	t.Owner, t.Actor, t.Inferred, t.PeerOwner = r.Owner, r.Actor, r.Inferred, r.PeerOwner
	t.Count += uint64(r.Count)
	t.rate.add(r.Time)
}

func (x *troubles) resend(r *Resend) *Trouble {
	t := x.get(resendKey(r.Owner, r.ID.NetNS, r.Role, r.Local, r.Remote), r.Time)
	t.Owner = r.Owner
	t.Count += uint64(r.Segments)
	t.Classes[r.Class] += uint64(r.Segments)
	t.rate.add(r.Time)
	return t
}

func resendKey(owner conn.Owner, netns uint32, role conn.Role, local, remote netip.AddrPort) TroubleKey {
	return TroubleKey{
		PID: owner.Task.PID, NetNS: netns, Remote: remote.Addr().Unmap(), Service: service(role, local, remote), Role: role,
	}
}

// episode adds a loss episode that is over.
func (x *troubles) episode(c *conn.Change) {
	k := resendKey(c.Conn.Owner, c.Conn.ID.NetNS, c.Conn.Role, c.Conn.Local, c.Conn.Remote)
	t := x.byKey[k]
	if t == nil {
		return // it was dropped, or its process has become known since
	}
	t.Episodes++
	if c.Episode.Spurious() {
		t.Spurious++
	}
	lost, _ := c.Episode.TimeLost(c.Time)
	t.TimeLost += lost
}
