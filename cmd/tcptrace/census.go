package main

import (
	"cmp"
	"slices"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/snapshot"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

var objects = [...]census.Object{
	snapshot.Full: census.Full, snapshot.Request: census.Request, snapshot.TimeWait: census.TimeWait,
}

// convert fills in what a snapshot tells of a socket.
func convert(to *census.Socket, s *snapshot.Socket) {
	*to = census.Socket{
		Time: s.Time, ID: s.ID, Local: s.Local, Remote: s.Remote, Inode: s.Inode,
		RecvQ: s.RecvQ, SendQ: s.SendQ,
		Timer: s.Timer.String(), TimeLeft: s.TimeLeft, Timeouts: s.Retransmits, Drops: s.Drops,
		UID: s.UID, State: s.State, Object: objects[s.Object],
		Orphan:     s.Orphan || s.Object == snapshot.TimeWait && s.State == tcp.FinWait2,
		Unaccepted: s.Unaccepted, KeepAlive: s.KeepAlive,
		MoreHolders: s.MoreHolders,
	}
	if len(s.Holders) == 0 {
		return
	}
	if len(s.Holders) > 1 {
		to.Holders = make([]census.Holder, len(s.Holders))
		for i, h := range s.Holders {
			to.Holders[i] = census.Holder(h)
		}
		slices.SortFunc(to.Holders, func(a, b census.Holder) int {
			return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.FD, b.FD))
		})
	}
	first := census.Holder(s.Holders[0])
	if len(to.Holders) > 0 {
		first = to.Holders[0]
	}
	to.Owner = event.Task{PID: first.PID, UID: first.UID, Comm: first.Comm}
	to.FD, to.Via = first.FD, conn.ViaSnapshot
}
