package filter

import (
	"fmt"
	"testing"
)

func TestParse(t *testing.T) {
	parse := map[string]func(string) (any, error){
		"pid":       func(s string) (any, error) { return ParsePID(s) },
		"comm":      func(s string) (any, error) { return ParseComm(s) },
		"container": func(s string) (any, error) { return ParseContainer(s) },
		"cgroup":    func(s string) (any, error) { return ParseCgroup(s) },
		"netns":     func(s string) (any, error) { return ParseNetNS(s) },
		"port":      func(s string) (any, error) { return ParsePort(s) },
		"net":       func(s string) (any, error) { return ParseNet(s) },
		"state":     func(s string) (any, error) { return ParseState(s) },
		"kind":      func(s string) (any, error) { return ParseKind(s) },
	}
	for _, test := range []struct{ flag, in, want, err string }{
		{"pid", "1234", "1234", ""},
		{"pid", "0", "", `"0" is not a process id; write numbers, comma-separated (by name: --comm)`},
		{"pid", "nginx", "", `"nginx" is not a process id; write numbers, comma-separated (by name: --comm)`},
		{"comm", "kube-controller-manager", "kube-controller", ""},
		{"comm", "", "", "a name is empty; write process names, comma-separated"},
		{"container", "3f2a", "3f2a", ""},
		{"container", "", "", "an id is empty; write container ids, or how they begin, comma-separated"},
		{"cgroup", "/system.slice/", "/system.slice", ""},
		{"cgroup", "nginx.service", "nginx.service", ""},
		{"cgroup", "/", "/", ""},
		{"cgroup", "/sys/fs/cgroup", "/", ""},
		{"cgroup", "/sys/fs/cgroup/user.slice", "/user.slice", ""},
		{"netns", "4026531840", "4026531840", ""},
		{"netns", "net:[4026531840]", "4026531840", ""},
		{"netns", "blue", "", `"blue" is not the inode of a network namespace; write the number that "readlink /proc/PID/ns/net" prints`},
		{"port", "65535", "65535", ""},
		{"port", "http", "", `"http" is not a port number; write 1 to 65535, comma-separated`},
		{"port", "0", "", `"0" is not a port number; write 1 to 65535, comma-separated`},
		{"port", "65536", "", `"65536" is not a port number; write 1 to 65535, comma-separated`},
		{"net", "10.1.2.3/8", "10.0.0.0/8", ""},
		{"net", "10.1.2.3", "10.1.2.3/32", ""},
		{"net", "::ffff:10.1.2.3", "10.1.2.3/32", ""},
		{"net", "::ffff:10.1.2.3/104", "10.0.0.0/8", ""},
		{"net", "2001:db8::7/32", "2001:db8::/32", ""},
		{"net", "fe80::1%eth0", "fe80::1/128", ""},
		{"net", "10.0.0.0/33", "", `"10.0.0.0/33" is not a network; write an address or CIDR such as 10.0.0.0/8 or 2001:db8::/32`},
		{"state", "time-wait", "TIME_WAIT", ""},
		{"state", "timewait", "", `"timewait" is not a TCP state; did you mean TIME_WAIT?`},
		{"state", "7", "", `"7" is not a TCP state; write one of LISTEN SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT1 FIN_WAIT2 CLOSING TIME_WAIT CLOSE_WAIT LAST_ACK CLOSE`},
		{"kind", "reset", "reset", ""},
		{"kind", "resets", "", `"resets" is not a kind of record; did you mean reset?`},
		{"kind", "drop", "drop", ""},
		{"kind", "7", "", `"7" is not a kind of record; write one of state retransmit reset drop error connection finding`},
	} {
		got, err := parse[test.flag](test.in)
		switch {
		case err != nil && err.Error() != test.err:
			t.Errorf("%s %q: error %q, want %q", test.flag, test.in, err, test.err)
		case err == nil && test.err != "":
			t.Errorf("%s %q: no error, want %q", test.flag, test.in, test.err)
		case err == nil && fmt.Sprint(got) != test.want:
			t.Errorf("%s %q = %v, want %s", test.flag, test.in, got, test.want)
		}
	}
}
