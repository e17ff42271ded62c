//go:build linux

package probe

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/bpf"
)

const (
	// cpusOfOne is how many processors one ring serves, whose lock they share;
	// where there are more, each cpusOfEach have one: see docs/overhead.md, "Many
	// processors".
	cpusOfOne  = 32
	cpusOfEach = 16
)

// ringsFor returns how many rings so many processors need.
func ringsFor(cpus int) int {
	if cpus <= cpusOfOne {
		return 1
	}
	return (cpus + cpusOfEach - 1) / cpusOfEach
}

// A sharing says how the processors share the rings.
type sharing struct {
	rings  int
	bytes  int   // of each
	online []int // processors, by their numbers
}

// shareRings divides the bytes among that many rings or, if it is 0, among as many as
// the processors need; but not among more than there are processors, and pages.
func shareRings(bytes, rings int, online []int) sharing {
	if rings == 0 {
		rings = ringsFor(len(online))
	}
	rings = max(min(rings, len(online), bytes/unix.Getpagesize()), 1)
	if rings > 1 {
		bytes = 1 << (bits.Len(uint(bytes/rings)) - 1)
	}
	return sharing{rings: rings, bytes: bytes, online: online}
}

// ringOf returns the number of the ring of a processor. Neighbours share one, as they
// do a cache. Those that are not online may come to be.
func (s sharing) ringOf(cpu int) int {
	place, online := slices.BinarySearch(s.online, cpu)
	if !online {
		place = cpu % len(s.online)
	}
	return place * s.rings / len(s.online)
}

// ringName returns the name of the map of a ring.
func ringName(ring int) string {
	if ring == 0 {
		return bpf.TcptraceMapEvents
	}
	return bpf.TcptraceMapEvents + "_" + strconv.Itoa(ring)
}

// setRings puts the rings that the options ask for into spec, and tells the programs of
// them, and of c.
func setRings(spec *ebpf.CollectionSpec, possible int, opts *Options, c bpf.TcptraceTtConfig) error {
	online, err := onlineCPUs()
	if err != nil {
		return err
	}
	s := shareRings(opts.RingBytes, opts.Rings, online)
	s.put(spec, possible)
	c.WakeBytes, c.HasRings = uint64(s.bytes)/wakeShare, flag(s.rings > 1)
	if err := spec.Variables[bpf.TcptraceVarConfig].Set(c); err != nil {
		return fmt.Errorf("set the BPF programs' configuration: %w", err)
	}
	return nil
}

// put makes the maps of the rings and, where there are several, has each possible
// processor find its own.
func (s sharing) put(spec *ebpf.CollectionSpec, possible int) {
	first, byCPU := spec.Maps[bpf.TcptraceMapEvents], spec.Maps[bpf.TcptraceMapRings]
	first.MaxEntries = uint32(s.bytes)
	byCPU.InnerMap.MaxEntries = first.MaxEntries // Linux before 5.10 holds them against it
	if s.rings == 1 {
		byCPU.InnerMap.MaxEntries = uint32(unix.Getpagesize()) // it is made, and let go
		return
	}
	for ring := 1; ring < s.rings; ring++ {
		other := first.Copy()
		other.Name = ringName(ring)
		spec.Maps[other.Name] = other
	}
	byCPU.MaxEntries = uint32(possible)
	for cpu := range possible {
		byCPU.Contents = append(byCPU.Contents, ebpf.MapKV{Key: uint32(cpu), Value: ringName(s.ringOf(cpu))})
	}
}

// ringMaps returns the rings that setRings asked for.
func ringMaps(c *ebpf.Collection) (all []*ebpf.Map) {
	for {
		m := c.Maps[ringName(len(all))]
		if m == nil {
			return all
		}
		all = append(all, m)
	}
}

// onlineCPUs lists the processors that are online. A virtual machine may have many
// more that are possible.
func onlineCPUs() ([]int, error) {
	const path = "/sys/devices/system/cpu/online"
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("list the processors: %w", err)
	}
	cpus, err := parseCPUs(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("list the processors: %s: %w", path, err)
	}
	return cpus, nil
}

// parseCPUs takes apart a list such as 0-3,8-11,13.
func parseCPUs(list string) (cpus []int, err error) {
	for span := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(span, "-")
		if !ranged {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 31)
		to, err2 := strconv.ParseUint(last, 10, 31)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus = append(cpus, int(cpu))
		}
	}
	return cpus, nil
}
