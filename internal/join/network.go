package join

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
)

// A Host is a recorded host with the ends that it knows of.
type Host struct {
	Name  string // fit to be shown
	Clock event.Clock
	Ends  []End
}

// A Link is what two hosts have in common.
type Link struct {
	A, B int // by their places
	Result
}

// A Network is recorded hosts, and which ends of theirs belong together.
type Network struct {
	Hosts []Host
	Links []Link // those between which there is at least one connection
	peers []map[event.ID]place
}

type place struct{ host, end int }

// NewNetwork joins the ends of hosts, each with each.
func NewNetwork(hosts []Host) *Network {
	n := &Network{Hosts: hosts, peers: make([]map[event.ID]place, len(hosts))}
	for i := range hosts {
		n.peers[i] = map[event.ID]place{}
	}
	for i := range hosts {
		for j := i + 1; j < len(hosts); j++ {
			r := Match(hosts[i].Ends, hosts[j].Ends)
			if len(r.Pairs) == 0 {
				continue
			}
			n.Links = append(n.Links, Link{i, j, r})
			for _, p := range r.Pairs {
				n.peers[i][hosts[i].Ends[p.A].ID] = place{j, p.B}
				n.peers[j][hosts[j].Ends[p.B].ID] = place{i, p.A}
			}
		}
	}
	return n
}

// Peer returns the other end of a host's connection, and on which host it is.
func (n *Network) Peer(host int, id event.ID) (peer *End, on *Host, ok bool) {
	p, ok := n.peers[host][id]
	if !ok {
		return nil, nil, false
	}
	on = &n.Hosts[p.host]
	return &on.Ends[p.end], on, true
}

// A witness is the process at the other end, with how many connections say so.
type witness struct {
	owner conn.Owner
	actor event.Task
	cause conn.ResetCause
	host  string
	count int
}

// Explain adds to a finding of a host what is known of the other ends of the
// connections that it names: their process, and why they reset.
func (n *Network) Explain(host int, f *diagnose.Finding) {
	seen := n.witnesses(host, f.Conns)
	if len(seen) == 0 {
		return
	}
	w := &seen[0]
	if !f.Peer.Known() && w.owner.Known() {
		f.Peer = conn.Owner{Task: on(w.owner.Task, w.host), Via: w.owner.Via}
	}
	if f.Rule.Name != "reset-by-peer" || w.cause == conn.ResetCauseNone || w.cause == conn.ResetByPeer || w.cause == conn.ResetCauseUnknown {
		return
	}
	f.Cause = fmt.Sprintf("the other end is on %s; there it is %s", w.host, w.cause)
	f.Evidence = append(slices.Clip(f.Evidence), diagnose.Figure{Name: "why", Kind: diagnose.Word, Word: w.cause.String()})
	if !f.Actor.Known() && w.actor.Known() && w.actor.PID != w.owner.Task.PID {
		f.Actor = conn.Owner{Task: on(w.actor, w.host)}
	}
}

// witnesses lists the other ends of connections by process and cause, that of the
// most first.
func (n *Network) witnesses(host int, ids []event.ID) (all []witness) {
	for _, id := range ids {
		peer, on, ok := n.Peer(host, id)
		if !ok {
			continue
		}
		owner := peer.Owner
		if !owner.Known() {
			owner = peer.Closer
		}
		w := witness{owner: owner, actor: peer.Actor, cause: peer.ResetCause, host: on.Name, count: 1}
		at := slices.IndexFunc(all, func(x witness) bool {
			return x.owner.Task.PID == w.owner.Task.PID && x.cause == w.cause && x.host == w.host
		})
		if at < 0 {
			all = append(all, w)
		} else {
			all[at].count++
		}
	}
	slices.SortStableFunc(all, func(x, y witness) int { return -cmp.Compare(x.count, y.count) })
	return all
}

// on is a task with the host that it is on.
func on(t event.Task, host string) event.Task {
	label := event.Label{}
	if t.Label != nil {
		label = *t.Label
	}
	label.Host = host
	t.Label = &label
	return t
}
