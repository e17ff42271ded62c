package proc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hybrid is /proc/PID/cgroup where each controller has a v1 hierarchy at path,
// and cgroup v2 is at unified.
func hybrid(path, unified string) string {
	var b strings.Builder
	for _, line := range []string{"12:pids:", "11:memory:", "4:cpu,cpuacct:", "1:name=systemd:"} {
		b.WriteString(line + path + "\n")
	}
	return b.String() + "0::" + unified + "\n"
}

func TestParseCgroups(t *testing.T) {
	docker := "/docker/" + hexB
	tests := []struct {
		name, text string
		exiting    bool
		want       Container
		unknown    bool
	}{
		{name: "v2, a service", text: "0::/system.slice/nginx.service\n",
			want: Container{Unit: "nginx.service", Path: "/system.slice/nginx.service"}},
		{name: "v2, the root", text: "0::/\n", want: Container{Path: "/"}},
		{name: "v2, a cgroup that was removed", text: "0::/docker/" + hexB + " (deleted)\n",
			want: Container{ID: hexB, Runtime: Docker, Path: docker}},
		{name: "v2, a colon in the path", text: "0::/system.slice:docker:" + hexB + "\n",
			want: Container{ID: hexB, Runtime: Docker, Path: "/system.slice:docker:" + hexB}},
		{name: "v1 alone", text: strings.TrimSuffix(hybrid(docker, ""), "0::\n"),
			want: Container{ID: hexB, Runtime: Docker, Path: docker}},
		{name: "hybrid, the runtime moved it in all", text: hybrid(docker, docker),
			want: Container{ID: hexB, Runtime: Docker, Path: docker}},
		{name: "hybrid, the runtime left cgroup v2 where it was forked", text: hybrid(docker, "/system.slice/containerd.service"),
			want: Container{ID: hexB, Runtime: Docker, Path: docker}},
		{name: "hybrid, all at the root", text: hybrid("/", "/"), want: Container{Path: "/"}},
		{name: "hybrid, a service that systemd placed", text: hybrid("/system.slice/nginx.service", "/"),
			want: Container{Unit: "nginx.service", Path: "/system.slice/nginx.service"}},
		{name: "v1, one controller alone tells", text: "5:pids:/\n4:memory:" + docker + "\n1:name=systemd:/\n",
			want: Container{ID: hexB, Runtime: Docker, Path: docker}},
		{name: "v1, what systemd says goes first", text: "4:memory:/other\n1:name=systemd:/mine\n", want: Container{Path: "/mine"}},
		{name: "a controller of a program's own", text: "2:net_cls:/mullvad\n0::/init.scope\n",
			want: Container{Unit: "init.scope", Path: "/init.scope"}},
		{name: "v1, exiting: at the root of all", text: "4:memory:/\n1:name=systemd:/\n0::/\n", exiting: true, unknown: true},
		{name: "hybrid, exiting: cgroup v2 still tells", text: hybrid("/", docker), exiting: true,
			want: Container{ID: hexB, Runtime: Docker, Path: docker}},
		{name: "v2, exiting", text: "0::/\n", exiting: true, want: Container{Path: "/"}},
		{name: "the end is cut off", text: "1:name=systemd:/docker/0123", unknown: true},
		{name: "nothing", unknown: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseCgroups([]byte(tt.text), tt.exiting)
			if ok == tt.unknown {
				t.Fatalf("known is %v", ok)
			}
			if d := cmp.Diff(tt.want, got); ok && d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestLegacy(t *testing.T) {
	for text, want := range map[string]bool{
		"0::/\n":                         false,
		"0::/init.scope\n2:net_cls:/m\n": false,
		hybrid("/", "/"):                 true,
		"4:cpu,cpuacct:/\n":              true,
		"4:cpuset:/\n":                   false,
		"0::/memory:pids\n":              false,
	} {
		if got := legacy([]byte(text)); got != want {
			t.Errorf("legacy(%q) = %v", text, got)
		}
	}
}

func TestFindMount(t *testing.T) {
	const (
		tmpfs  = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
		v1     = "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
		v2     = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
		pure   = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
		copied = "54 44 0:38 / /srv/a\\040b/cgroup\\134 rw - cgroup2 cgroup2 rw\n"
	)
	for name, tt := range map[string]struct{ text, want string }{
		"v1 alone":                 {tmpfs + v1, ""},
		"hybrid":                   {tmpfs + v1 + v2, "/sys/fs/cgroup/unified"},
		"v2 alone":                 {pure, "/sys/fs/cgroup"},
		"a copy before the real":   {copied + pure, "/sys/fs/cgroup"},
		"mounted in another place": {copied, `/srv/a b/cgroup\`},
		"nothing":                  {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := findMount([]byte(tt.text)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
