//go:build linux

package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// resetFromOutsideStories are about connections that neither end wanted to end.
func resetFromOutsideStories() []Story {
	return []Story{{
		Name:     "reset-killed",
		Doc:      `another process kills the client's connections, as "ss -K" does`,
		Client:   path(opened, aborted),
		Server:   path(accepted, aborted),
		Networks: everywhere,
		cast:     true,
		together: true,
		play:     playDestroyed,
	}, {
		Name:     "reset-firewall",
		Doc:      "something between the two answers the client's data with a RST of its own",
		Client:   path(opened, aborted),
		Server:   path(accepted, aborted),
		Networks: []Network{Wire},
		play:     playFirewall,
	}, {
		Name:     "reset-reject",
		Doc:      "something between the two answers the client's SYN with a RST of its own",
		Client:   []tcp.State{tcp.Close, tcp.SynSent, tcp.Close},
		Networks: []Network{Wire},
		play:     playReject,
	}, {
		Name:     "reset-bad-ack",
		Doc:      "a stray ACK of what was never sent meets the client in SYN_SENT, which answers it with a RST",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Wire},
		play:     playBadACK,
	}}
}

func playDestroyed(ctx context.Context, st *stage) error {
	pairs, err := st.openAll(ctx)
	if err != nil {
		return err
	}
	killer, err := st.act(st.net.client, duty{Part: "killer", Addr: st.serverAddr()})
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.server.reach(ctx, tcp.Close); err != nil {
			return err
		}
		if err := pr.client.reach(ctx, tcp.Close); err != nil {
			return err
		}
		if err := pr.client.close(); err != nil {
			return err
		}
		if err := pr.server.close(); err != nil {
			return err
		}
		c := st.ended(pr, "aborted", "reset_received")
		c.sends("client", "reset-aborted", killer.pid())
	}
	return st.await(ctx, census{})
}

// playKiller kills every connection to its address.
func playKiller(_ context.Context, a *actor) error {
	family := uint8(unix.AF_INET)
	if a.duty.Addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	sockets, err := connectedTo(family, a.duty.Addr)
	if err != nil {
		return err
	}
	for _, id := range sockets {
		req := nl.NewNetlinkRequest(nl.SOCK_DESTROY, unix.NLM_F_ACK)
		req.AddData(diagRequest{family: family, id: id})
		if _, err := req.Execute(unix.NETLINK_INET_DIAG, 0); err != nil {
			return fmt.Errorf("destroy a socket (SOCK_DESTROY): %w", err)
		}
	}
	return nil
}

const (
	diagMessage = 56 // struct inet_diag_req_v2
	diagID      = 48 // struct inet_diag_sockid, which begins with its ports
)

// connectedTo lists the sockets that are connected to addr, as inet_diag names
// them.
func connectedTo(family uint8, addr netip.AddrPort) ([][]byte, error) {
	req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
	req.AddData(diagRequest{family: family, states: 1 << tcp.Established})
	messages, err := req.Execute(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY)
	if err != nil {
		return nil, fmt.Errorf("list the sockets: %w", err)
	}
	var ids [][]byte
	for _, m := range messages {
		id := m[4 : 4+diagID] // struct inet_diag_msg: family, state, timer, retrans
		to := id[20:36]
		if addr.Addr().Is4() {
			to = to[:4]
		}
		ip, _ := netip.AddrFromSlice(to)
		if netip.AddrPortFrom(ip, binary.BigEndian.Uint16(id[2:])) == addr {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// A diagRequest is a struct inet_diag_req_v2.
type diagRequest struct {
	family uint8
	states uint32
	id     []byte // nil: any
}

func (r diagRequest) Len() int { return diagMessage }

func (r diagRequest) Serialize() []byte {
	b := make([]byte, diagMessage)
	b[0], b[1] = r.family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], r.states)
	copy(b[8:], r.id)
	return b
}

// playFirewall forges a RST to the client. The server hears nothing of it, and
// ends by a RST that meets nobody.
func playFirewall(ctx context.Context, st *stage) error {
	if err := st.listen(); err != nil {
		return err
	}
	for range st.p.N {
		st.net.wire.setRule(nil)
		pr, err := st.open(ctx, netip.AddrPort{})
		if err != nil {
			return err
		}
		if err := pr.settle(ctx); err != nil {
			return err
		}
		st.net.wire.setRule(func(w *wire, s segment) {
			if s.from == clientSide && s.payload > 0 {
				w.inject(s.answer(s.ack(), 0, flagRST))
				return
			}
			w.pass(s)
		})
		if err := pr.client.say(); err != nil {
			return err
		}
		if err := pr.client.hearReset(ctx); err != nil {
			return err
		}
		if err := pr.client.close(); err != nil {
			return err
		}
		if err := pr.server.abort(); err != nil {
			return err
		}
		c := st.ended(pr, "reset_received", "reset_sent")
		c.sends("", "firewall", 0)
		c.sends("server", "reset-linger", os.Getpid()).Lost = true
	}
	return st.await(ctx, census{})
}

func playReject(ctx context.Context, st *stage) error {
	st.net.wire.setRule(func(w *wire, s segment) {
		if s.from == clientSide && s.is(flagSYN, flagSYN|flagACK) {
			w.inject(s.answer(0, s.seq+1, flagRST|flagACK))
		}
	})
	for range st.p.N {
		pr, err := st.begin(netip.AddrPort{}, st.serverAddr())
		if err != nil {
			return err
		}
		if err := st.fails(ctx, pr, unix.ECONNREFUSED, "refused"); err != nil {
			return err
		}
		st.conn(pr).sends("", "connect-refused", 0)
	}
	return st.await(ctx, census{})
}

// playBadACK answers each SYN with an ACK before the SYN passes. The client's
// RST does not: it could end the server's handshake.
func playBadACK(ctx context.Context, st *stage) error {
	st.net.wire.setRule(func(w *wire, s segment) {
		switch {
		case s.flags&flagRST != 0:
			return
		case s.from == clientSide && s.is(flagSYN, flagSYN|flagACK):
			w.inject(s.answer(1, s.seq+1000, flagACK))
		}
		w.pass(s)
	})
	if err := st.listen(); err != nil {
		return err
	}
	for range st.p.N {
		pr, err := st.open(ctx, netip.AddrPort{})
		if err != nil {
			return err
		}
		if err := closeBoth(ctx, pr.client, pr.server); err != nil {
			return err
		}
		c := st.ended(pr, "fin", "fin")
		c.TimeWaitCause = "netns_exit"
		c.sends("client", "bad-segment", 0).Lost = true
	}
	return st.rest(ctx, st.p.N)
}
