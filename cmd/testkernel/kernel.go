package main

import (
	"fmt"
	"strings"
)

// A kernel is one of Debian's, of the flavour made for virtual machines.
type kernel struct {
	name     string // as users ask for it
	suite    string // the release of Debian that ships it
	security bool   // which has an archive of security fixes
}

// kernels lists the matrix: each long-term line that a supported Debian runs,
// and the newest.
var kernels = []kernel{
	{"5.10", "bullseye", true},
	{"6.1", "bookworm", true},
	{"6.12", "trixie", true},
	{"7.2", "sid", false},
}

// metapackage, with a kind of machine behind it, depends on the newest kernel of
// a suite, whose packages' names hold its version.
const metapackage = "linux-image-cloud-"

// modules are what the stories need of a kernel beside its image.
var modules = []string{"veth", "tun", "inet_diag", "tcp_diag"}

// lookup finds the kernels with these names; none means all.
func lookup(names []string) ([]kernel, error) {
	if len(names) == 0 {
		return kernels, nil
	}
	var found []kernel
	for _, name := range names {
		k, err := lookupOne(name)
		if err != nil {
			return nil, err
		}
		found = append(found, k)
	}
	return found, nil
}

func lookupOne(name string) (kernel, error) {
	var have []string
	for _, k := range kernels {
		if k.name == name {
			return k, nil
		}
		have = append(have, k.name)
	}
	return kernel{}, fmt.Errorf("kernel %q: there are %s", name, strings.Join(have, ", "))
}
