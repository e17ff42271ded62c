package render

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/join"
)

// translationsShown is how many translations of addresses a link names.
const translationsShown = 3

// AppendLink appends what two recorded hosts have in common: how many
// connections, how far their clocks are apart, and how addresses are translated
// between them.
func AppendLink(b []byte, n *join.Network, k *join.Link) []byte {
	first, second := n.Hosts[k.A].Name, n.Hosts[k.B].Name
	l := line{b: b}
	l.text("tcptrace: " + countOf(uint64(len(k.Pairs)), "connection") + " between " + first + " and " + second)
	translated, ambiguous := 0, 0
	for _, p := range k.Pairs {
		if p.Translated {
			translated++
		}
		if p.Ambiguous {
			ambiguous++
		}
	}
	if k.OffsetKnown {
		ahead, by := second, k.Offset
		if by < 0 {
			ahead, by = first, -by
		}
		l.text("; the clock of " + ahead + " is ahead by ")
		l.text(by.Round(unit(k.Within)).String())
		l.text(", within ")
		l.b = AppendDuration(l.b, k.Within)
	}
	if translated > 0 {
		l.text("; " + group(uint64(translated)) + " through NAT: ")
		for i, t := range k.Translations[:min(len(k.Translations), translationsShown)] {
			if i > 0 {
				l.text(", ")
			}
			l.place(t.Has)
			l.text(" seen as ")
			l.place(t.Seen)
		}
		if len(k.Translations) > translationsShown {
			l.text(", ...")
		}
	}
	if ambiguous > 0 {
		l.text("; of " + group(uint64(ambiguous)) + " another pair would have done as well")
	}
	return append(l.b, '\n')
}

// unit is the power of ten that says no more than an error of so much allows.
func unit(within time.Duration) time.Duration {
	u := time.Duration(1)
	for u < within {
		u *= 10
	}
	return u
}

// place writes an address, and its port where that is one.
func (l *line) place(e netip.AddrPort) {
	if e.Port() == 0 {
		l.b = e.Addr().AppendTo(l.b)
		return
	}
	l.b = e.AppendTo(l.b)
}
