//go:build linux

package probe_test

import (
	"strconv"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
)

// A fifth of what a connection sends is lost. The first retransmits are told one
// by one, the rest counted; together they are what the kernel counts, and all
// of it is told before the connection closes.
func TestLive_Storm_OfOneConnectionsRetransmits(t *testing.T) {
	var port, counter int
	events, g := playOn(t, probe.Options{}, func(g *ground) {
		listener, p := listen(8)
		port = p
		counter, _ = g.sendWithLoss(listener, port, 500)
	})
	var told, counted, more int
	for _, ev := range events {
		switch ev.Kind {
		case event.Retransmit:
			told += int(ev.Retransmission.Segments)
		case event.RetransmitMore:
			more++
			for _, n := range ev.Suppressed.ByClass {
				counted += int(n)
			}
			if ev.Remote.Port() != uint16(port) || ev.ID.Cookie == 0 {
				t.Errorf("counted for %v, cookie %x", ev.Remote, ev.ID.Cookie)
			}
		}
	}
	if told+counted != counter || counted == 0 {
		t.Errorf("%d segments told and %d counted, the kernel counts %d", told, counted, counter)
	}
	if tally := g.tally[event.Retransmit]; int(tally.Sent) != len(of(events, event.Retransmit)) || tally.Lost != 0 {
		t.Errorf("%+v of %d", tally, len(of(events, event.Retransmit)))
	}
	t.Logf("%d segments told one by one, %d in %d counts", told, counted, more)
}

// sendWithLoss sends over one connection, and has every fifth packet of data
// dropped until so many segments have been sent again. It closes all, and returns
// how many the kernel has sent again, and how many packets were dropped.
func (g *ground) sendWithLoss(listener, port, enough int) (again, dropped int) {
	g.shortPackets()
	client, server := pair(listener)
	iptables("-A", "INPUT", "-p", "tcp", "--dport", strconv.Itoa(port), "-m", "length", "--length", "300:",
		"-m", "statistic", "--mode", "nth", "--every", "5", "--packet", "0", "-j", "DROP")
	done := make(chan error)
	go func() { done <- drain(server) }()
	block := make([]byte, 1<<16)
	for g.counter("Tcp RetransSegs") < enough {
		must(unix.Write(client, block))
	}
	dropped = packets("INPUT")
	iptables("-F", "INPUT")
	mustDo(unix.Shutdown(client, unix.SHUT_WR))
	mustDo(<-done)
	again = g.counter("Tcp RetransSegs")
	closeAll(server, client, listener)
	return again, dropped
}

// shortPackets makes the loopback device take no more at a time than a real one.
func (g *ground) shortPackets() {
	handle := must(netlink.NewHandle(unix.NETLINK_ROUTE))
	defer handle.Close()
	lo := must(handle.LinkByName("lo"))
	mustDo(handle.LinkSetMTU(lo, 1500))
	mustDo(handle.LinkSetGSOMaxSegs(lo, 1))
}

// drain reads until the peer has finished.
func drain(fd int) error {
	buf := make([]byte, 1<<16)
	for {
		if n, err := unix.Read(fd, buf); n == 0 || err != nil {
			return err
		}
	}
}

// 100,003 SYNs find no listener, as fast as this host can send and answer them:
// the first RSTs are told, the rest counted, none is missing.
func TestLive_Storm_OfResets(t *testing.T) {
	const syns = 100_003
	var counter int
	events, g := playOn(t, probe.Options{}, func(g *ground) {
		listener, port := listen(8)
		closeAll(listener)
		g.flood(port, syns)
		g.until("every RST", func() bool { return g.counter("Tcp OutRsts") >= syns })
		counter = g.counter("Tcp OutRsts")
	})
	told := len(of(events, event.ResetSent))
	more := of(events, event.ResetMore)
	for _, ev := range more {
		if ev.Reason != "NO_SOCKET" || ev.ID.NetNS != g.inode || ev.Local.IsValid() {
			t.Errorf("%s at %v in %d", ev.Reason, ev.Local, ev.ID.NetNS)
		}
	}
	if n := told + counted(more); n != counter || counted(more) == 0 {
		t.Errorf("%d RSTs told and %d counted, the kernel counts %d", told, counted(more), counter)
	}
	t.Logf("%d RSTs told one by one, %d in %d counts", told, counted(more), len(more))
}

// A firewall drops 100,003 SYNs as fast as this host can send them, first those of
// one address and port, then of many: the first are told, the rest counted, those
// of the one by themselves; together they are what the firewall counts.
func TestLive_Storm_OfDrops(t *testing.T) {
	const ofOne, ofMany = 50_021, 49_982
	var counter int
	events, g := playOn(t, probe.Options{}, func(g *ground) {
		const port = 9
		iptables("-A", "INPUT", "-p", "tcp", "--dport", strconv.Itoa(port), "-j", "DROP")
		g.floodFrom(1, port, ofOne)
		g.floodFrom(30_000, port, ofMany)
		counter = packets("INPUT")
	})
	sum := map[string]int{}
	for _, ev := range of(events, event.Dropped) {
		who := "one"
		switch {
		case !ev.Local.IsValid():
			who = "nobody"
		case ev.Remote.Port() != 1024:
			who = "many"
		case ev.Packet.Flags != flagSYN || ev.Packet.Bytes != 0:
			t.Errorf("%+v", ev.Packet)
		}
		if ev.Count > 1 {
			sum["counted of "+who] += int(ev.Count)
		}
		sum[who] += int(ev.Count)
		if ev.Reason != "NETFILTER_DROP" || ev.ID.NetNS != g.inode {
			t.Errorf("%s in %d", ev.Reason, ev.ID.NetNS)
		}
	}
	if n := sum["one"] + sum["many"] + sum["nobody"]; n != counter || counter != ofOne+ofMany {
		t.Errorf("%d drops told, the firewall counts %d, of %d: %v", n, counter, ofOne+ofMany, sum)
	}
	if least := ofOne + ofMany/30_000; sum["one"] < least || sum["counted of one"] == 0 || sum["nobody"] == 0 {
		t.Errorf("of the one %d, want %d at least: %v", sum["one"], least, sum)
	}
	t.Logf("%d drops in %d events: %v", counter, len(of(events, event.Dropped)), sum)
}

// flood sends SYNs from a raw socket, each from another port than the one before.
func (g *ground) flood(port, count int) { g.floodFrom(30_000, port, count) }

// floodFrom sends them from so many ports.
func (g *ground) floodFrom(ports, port, count int) {
	raw := must(unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP))
	defer closeAll(raw)
	segment := make([]byte, 20)
	segment[2], segment[3] = byte(port>>8), byte(port)
	segment[12], segment[13] = 5<<4, flagSYN
	to := &unix.SockaddrInet4{Addr: loopback}
	for i := range count {
		source := 1024 + i%ports
		segment[0], segment[1] = byte(source>>8), byte(source)
		sum(segment)
		mustDo(unix.Sendto(raw, segment, 0, to))
	}
}

// sum fills in the checksum of a segment from loopback to loopback.
func sum(segment []byte) {
	segment[16], segment[17] = 0, 0
	total := uint32(len(segment)) + unix.IPPROTO_TCP + 2*(127<<8+1)
	for i := 0; i < len(segment); i += 2 {
		total += uint32(segment[i])<<8 | uint32(segment[i+1])
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	segment[16], segment[17] = byte(^total>>8), byte(^total)
}
