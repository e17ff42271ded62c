package filter

import (
	"net/netip"
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func task(pid uint32, comm string) *event.Task {
	t := &event.Task{PID: pid}
	copy(t.Comm[:], comm)
	return t
}

func subject(local, remote string) Subject {
	s := Subject{NetNS: 4026531840}
	if local != "" {
		s.Local = netip.MustParseAddrPort(local)
	}
	if remote != "" {
		s.Remote = netip.MustParseAddrPort(remote)
	}
	return s
}

func TestMatch_Which(t *testing.T) {
	var (
		toServer = subject("10.0.0.1:40000", "10.9.8.7:443")
		unbound  = subject("10.0.0.1:0", "10.9.8.7:443")
		listener = subject("[::]:443", "")
		mapped   = subject("[::ffff:10.0.0.1]:443", "[::ffff:10.9.8.7]:51234")
		v6       = subject("[2001:db8::1]:443", "[2001:db8::2]:51234")
		unknown  = Subject{}
	)
	tests := []struct {
		name   string
		filter Filter
		s      Subject
		want   Verdict
	}{
		{"nothing asked", Filter{}, unknown, Yes},
		{"port, remote side", Filter{Ports: []uint16{80, 443}}, toServer, Yes},
		{"port, local side", Filter{Ports: []uint16{40000}}, toServer, Yes},
		{"port, neither", Filter{Ports: []uint16{22}}, toServer, No},
		{"port, remote side, unbound", Filter{Ports: []uint16{443}}, unbound, Yes},
		{"port, perhaps local, unbound", Filter{Ports: []uint16{40000}}, unbound, Undecided},
		{"lport", Filter{LocalPorts: []uint16{40000}}, toServer, Yes},
		{"lport is not rport", Filter{LocalPorts: []uint16{443}}, toServer, No},
		{"lport, unbound", Filter{LocalPorts: []uint16{443}}, unbound, Undecided},
		{"rport", Filter{RemotePorts: []uint16{443}}, unbound, Yes},
		{"rport is not lport", Filter{RemotePorts: []uint16{40000}}, toServer, No},
		{"rport of a listener", Filter{RemotePorts: []uint16{443}}, listener, No},
		{"lport of a listener", Filter{LocalPorts: []uint16{443}}, listener, Yes},
		{"net, local", Filter{Nets: prefixes("10.0.0.0/24")}, toServer, Yes},
		{"net, remote", Filter{Nets: prefixes("192.168.0.0/16", "10.9.0.0/16")}, toServer, Yes},
		{"net, neither", Filter{Nets: prefixes("192.168.0.0/16")}, toServer, No},
		{"net, mapped", Filter{Nets: prefixes("10.9.0.0/16")}, mapped, Yes},
		{"net, v6", Filter{Nets: prefixes("2001:db8::2/128")}, v6, Yes},
		{"net, nothing known", Filter{Nets: prefixes("::/0")}, unknown, Undecided},
		{"-4", Filter{IPv4: true}, toServer, Yes},
		{"-4, mapped", Filter{IPv4: true}, mapped, Yes},
		{"-4, v6", Filter{IPv4: true}, v6, No},
		{"-6, v6", Filter{IPv6: true}, v6, Yes},
		{"-6, mapped", Filter{IPv6: true}, mapped, No},
		{"-4 -6", Filter{IPv4: true, IPv6: true}, v6, Yes},
		{"-6, nothing known", Filter{IPv6: true}, unknown, Undecided},
		{"netns", Filter{NetNS: []uint32{4026531840}}, toServer, Yes},
		{"netns, other", Filter{NetNS: []uint32{1}}, toServer, No},
		{"netns, nothing known", Filter{NetNS: []uint32{1}}, unknown, Undecided},
		{"all must hold", Filter{Ports: []uint16{443}, IPv6: true}, toServer, No},
		{"No outweighs Undecided", Filter{LocalPorts: []uint16{1}, IPv6: true}, unbound, No},
	}
	for _, test := range tests {
		if got := test.filter.Match(&test.s); got != test.want {
			t.Errorf("%s: verdict %d, want %d", test.name, got, test.want)
		}
	}
}

func prefixes(list ...string) (nets []netip.Prefix) {
	for _, s := range list {
		nets = append(nets, netip.MustParsePrefix(s))
	}
	return nets
}

func TestMatch_Whose(t *testing.T) {
	tests := []struct {
		name          string
		filter        Filter
		owner, closer *event.Task
		want          Verdict
	}{
		{"no process known", Filter{PIDs: []uint32{7}}, nil, nil, Undecided},
		{"the kernel acted by itself", Filter{PIDs: []uint32{7}}, task(0, "swapper/0"), nil, Undecided},
		{"owner", Filter{PIDs: []uint32{6, 7}}, task(7, "nginx"), nil, Yes},
		{"another owner", Filter{PIDs: []uint32{7}}, task(8, "nginx"), nil, No},
		{"closed by it", Filter{PIDs: []uint32{7}}, task(8, "nginx"), task(7, "nginx"), Yes},
		{"closed by another, owner not known", Filter{PIDs: []uint32{7}}, nil, task(8, "nginx"), Undecided},
		{"name", Filter{Comms: []string{"nginx"}}, task(8, "nginx"), nil, Yes},
		{"a name is no prefix", Filter{Comms: []string{"ngin"}}, task(8, "nginx"), nil, No},
		{"a long name", Filter{Comms: []string{"kube-controller"}}, task(8, "kube-controller"), nil, Yes},
		{"name, not known", Filter{Comms: []string{"nginx"}}, nil, nil, Undecided},
		{"name and number of one process", Filter{PIDs: []uint32{7}, Comms: []string{"nginx"}}, task(7, "nginx"), nil, Yes},
		{"name of one, number of another", Filter{PIDs: []uint32{7}, Comms: []string{"nginx"}}, task(8, "nginx"), task(7, "sh"), No},
	}
	for _, test := range tests {
		s := subject("10.0.0.1:1", "10.0.0.2:2")
		s.Owner, s.Closer = test.owner, test.closer
		if got := test.filter.Match(&s); got != test.want {
			t.Errorf("%s: verdict %d, want %d", test.name, got, test.want)
		}
	}
}

func TestMatch_Where(t *testing.T) {
	labeled := func(container, cgroup string) *event.Task {
		t := task(7, "nginx")
		t.Label = &event.Label{Container: container, Cgroup: cgroup}
		return t
	}
	const id = "3f2a9c01b7de5566"
	inContainer := labeled(id, "/system.slice/docker-"+id+".scope")
	inUnit := labeled("", "/system.slice/nginx.service/workers")
	containers := func(list ...string) Filter { return Filter{Containers: list} }
	cgroups := func(list ...string) Filter { return Filter{Cgroups: list} }
	tests := []struct {
		name   string
		filter Filter
		owner  *event.Task
		want   Verdict
	}{
		{"no process known", containers("3f2a"), nil, Undecided},
		{"nothing known of the process", containers("3f2a"), task(7, "nginx"), No},
		{"begin of the id", containers("0000", "3f2a"), inContainer, Yes},
		{"whole id", containers(id), inContainer, Yes},
		{"middle of the id", containers("2a9c"), inContainer, No},
		{"in no container", containers("3f2a"), inUnit, No},
		{"cgroup", cgroups("/system.slice/nginx.service/workers"), inUnit, Yes},
		{"cgroup above", cgroups("/system.slice"), inUnit, Yes},
		{"every cgroup", cgroups("/"), inUnit, Yes},
		{"begin of a name", cgroups("/system.slice/nginx"), inUnit, No},
		{"unit", cgroups("nginx.service"), inUnit, Yes},
		{"several levels", cgroups("system.slice/nginx.service"), inUnit, Yes},
		{"end of a name", cgroups("inx.service"), inUnit, No},
		{"begin of a unit", cgroups("nginx"), inUnit, No},
		{"the second time whole", cgroups("a"), labeled("", "/ab/a"), Yes},
		{"container and process", Filter{Containers: []string{"3f"}, PIDs: []uint32{7}}, inContainer, Yes},
		{"container, not process", Filter{Containers: []string{"3f"}, PIDs: []uint32{8}}, inContainer, No},
	}
	for _, test := range tests {
		s := subject("10.0.0.1:1", "10.0.0.2:2")
		s.Owner = test.owner
		if got := test.filter.Match(&s); got != test.want {
			t.Errorf("%s: verdict %d, want %d", test.name, got, test.want)
		}
	}
}

func TestSelects(t *testing.T) {
	all := Filter{}
	states := Filter{States: []tcp.State{tcp.TimeWait}}
	both := Filter{States: []tcp.State{tcp.TimeWait}, Kinds: []Kind{KindState, KindReset}}
	for _, test := range []struct {
		name      string
		got, want bool
	}{
		{"everything is wanted", all.SelectsKind(KindReset) && all.SelectsState(tcp.Close), true},
		{"states alone mean transitions", states.SelectsKind(KindState), true},
		{"and nothing else", states.SelectsKind(KindReset), false},
		{"unless kinds are named", both.SelectsKind(KindReset), true},
		{"and only those", both.SelectsKind(KindConnection), false},
		{"a state asked for", both.SelectsState(tcp.TimeWait), true},
		{"a state not asked for", both.SelectsState(tcp.Close), false},
	} {
		if test.got != test.want {
			t.Errorf("%s: %v, want %v", test.name, test.got, test.want)
		}
	}
}
