package proc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Ids as runtimes make them; hexA is the outer container's where two nest.
var (
	hexA  = strings.Repeat("0123456789abcdef", 4)
	hexB  = "84e178e1e61e4123a835e2a4ff6e3b682ea04f86a971d20c1c971664e5f2cfe9"
	uid   = "2c48913c-b29f-11e7-9350-020968147796"
	uid_  = strings.ReplaceAll(uid, "-", "_")
	hash  = "6ad8f2d3b6c6d0c6b3a8f5b1e0d9c7a5" // a static pod's
	short = "a1b2c3d4e5f6"
)

func TestParsePath(t *testing.T) {
	tests := []struct {
		name, path string
		want       Container
	}{
		{"the root", "/", Container{}},
		{"another cgroup namespace's parent", "/..", Container{}},
		{"a directory by hand", "/web/workers", Container{}},

		{"docker, cgroupfs", "/docker/" + hexB, Container{ID: hexB, Runtime: Docker}},
		{"docker, systemd", "/system.slice/docker-" + hexB + ".scope", Container{ID: hexB, Runtime: Docker}},
		{"docker, rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + hexB + ".scope",
			Container{ID: hexB, Runtime: Docker, Unit: "user@1000.service"}},
		{"docker, a parent by hand", "/batch/" + hexB, Container{ID: hexB}},
		{"docker, a slice by hand", "/batch.slice/docker-" + hexB + ".scope", Container{ID: hexB, Runtime: Docker}},
		{"docker, a directory made inside", "/docker/" + hexB + "/init", Container{ID: hexB, Runtime: Docker}},
		{"docker, seen from a container beside it", "/../" + hexB, Container{ID: hexB}},
		{"docker, a host of Amazon ECS", "/ecs/" + hash + "/" + hexB, Container{ID: hexB}},
		{"docker's own daemon", "/system.slice/docker.service", Container{Unit: "docker.service"}},
		{"docker, a build step", "/docker/buildkit/ml3ea1o3c8gw0u6zmqkmo2fd5", Container{}},
		{"docker, nothing but the parent", "/docker", Container{}},
		{"docker, a short id", "/docker/" + short, Container{}},
		{"docker, capitals", "/docker/" + strings.ToUpper(hexB), Container{}},
		{"docker, one digit more", "/docker/" + hexB + "0", Container{}},

		{"docker in docker", "/docker/" + hexA + "/docker/" + hexB, Container{ID: hexB, Runtime: Docker}},
		{"docker in docker, systemd outside", "/system.slice/docker-" + hexA + ".scope/docker/" + hexB, Container{ID: hexB, Runtime: Docker}},
		{"the daemon in docker in docker", "/docker/" + hexA + "/system.slice/docker.service",
			Container{ID: hexA, Runtime: Docker, Unit: "docker.service"}},
		{"kind, systemd", "/docker/" + hexA + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/" +
			"kubelet-kubepods-besteffort-pod" + uid_ + ".slice/cri-containerd-" + hexB + ".scope",
			Container{ID: hexB, Runtime: Containerd, PodUID: uid}},
		{"kind, cgroupfs", "/docker/" + hexA + "/kubelet/kubepods/besteffort/pod" + uid + "/" + hexB,
			Container{ID: hexB, PodUID: uid}},
		{"kind's kubelet", "/docker/" + hexA + "/kubelet.slice/kubelet.service",
			Container{ID: hexA, Runtime: Docker, Unit: "kubelet.service"}},
		{"docker in a pod", "/kubepods/burstable/pod" + uid + "/" + hexA + "/docker/" + hexB,
			Container{ID: hexB, Runtime: Docker, PodUID: uid}},

		{"containerd, Kubernetes, systemd", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_ +
			".slice/cri-containerd-" + hexB + ".scope", Container{ID: hexB, Runtime: Containerd, PodUID: uid}},
		{"guaranteed pod", "/kubepods.slice/kubepods-pod" + uid_ + ".slice/cri-containerd-" + hexB + ".scope",
			Container{ID: hexB, Runtime: Containerd, PodUID: uid}},
		{"static pod", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + hash + ".slice/cri-containerd-" + hexB + ".scope",
			Container{ID: hexB, Runtime: Containerd, PodUID: hash}},
		{"Kubernetes, cgroupfs", "/kubepods/besteffort/pod" + uid + "/" + hexB, Container{ID: hexB, PodUID: uid}},
		{"guaranteed pod, cgroupfs", "/kubepods/pod" + uid + "/" + hexB, Container{ID: hexB, PodUID: uid}},
		{"a pod without a container", "/kubepods/besteffort/pod" + uid, Container{PodUID: uid}},
		{"Kubernetes with docker, systemd", "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid_ +
			".slice/docker-" + hexB + ".scope", Container{ID: hexB, Runtime: Docker, PodUID: uid}},
		{"containerd with systemd's path and the cgroupfs driver",
			"/system.slice/containerd.service/kubepods-burstable-pod" + uid_ + ".slice:cri-containerd:" + hexB,
			Container{ID: hexB, Runtime: Containerd, PodUID: uid, Unit: "containerd.service"}},
		{"the same at the root", "/kubepods-besteffort-pod" + uid_ + ".slice:cri-containerd:" + hexB,
			Container{ID: hexB, Runtime: Containerd, PodUID: uid}},
		{"docker with systemd's path and the cgroupfs driver", "/system.slice:docker:" + hexB, Container{ID: hexB, Runtime: Docker}},
		{"a pod's name with no kubepods above", "/pod" + uid, Container{}},
		{"containerd's own namespace", "/k8s.io/" + hexB, Container{ID: hexB, Runtime: Containerd}},
		{"ctr", "/default/" + hexB, Container{ID: hexB, Runtime: Containerd}},
		{"ctr, a name that says nothing", "/default/redis", Container{}},
		{"nerdctl, systemd", "/system.slice/nerdctl-" + hexB + ".scope", Container{ID: hexB, Runtime: Containerd}},

		{"cri-o, systemd", "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid_ + ".slice/crio-" + hexB + ".scope",
			Container{ID: hexB, Runtime: CRIO, PodUID: uid}},
		{"cri-o, crun's own directory", "/kubepods.slice/kubepods-pod" + uid_ + ".slice/crio-" + hexB + ".scope/container",
			Container{ID: hexB, Runtime: CRIO, PodUID: uid}},
		{"cri-o, cgroupfs", "/kubepods/burstable/pod" + uid + "/crio-" + hexB, Container{ID: hexB, Runtime: CRIO, PodUID: uid}},
		{"cri-o's monitor is outside", "/kubepods.slice/kubepods-pod" + uid_ + ".slice/crio-conmon-" + hexB + ".scope",
			Container{PodUID: uid, Unit: "crio-conmon-" + hexB + ".scope"}},

		{"podman, systemd", "/machine.slice/libpod-" + hexB + ".scope", Container{ID: hexB, Runtime: Podman}},
		{"podman, crun's own directory", "/machine.slice/libpod-" + hexB + ".scope/container", Container{ID: hexB, Runtime: Podman}},
		{"podman, systemd inside", "/machine.slice/libpod-" + hexB + ".scope/system.slice/nginx.service",
			Container{ID: hexB, Runtime: Podman, Unit: "nginx.service"}},
		{"podman, cgroupfs", "/libpod_parent/libpod-" + hexB, Container{ID: hexB, Runtime: Podman}},
		{"podman, a pod", "/machine.slice/machine-libpod_pod_" + hexA + ".slice/libpod-" + hexB + ".scope",
			Container{ID: hexB, Runtime: Podman}},
		{"podman, a pod, cgroupfs", "/libpod_parent/" + hexA + "/libpod-" + hexB, Container{ID: hexB, Runtime: Podman}},
		{"a podman pod is no container", "/libpod_parent/" + hexA, Container{}},
		{"podman, rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + hexB + ".scope/container",
			Container{ID: hexB, Runtime: Podman, Unit: "user@1000.service"}},
		{"podman, a unit of its own", "/system.slice/web.service/libpod-payload-" + hexB,
			Container{ID: hexB, Runtime: Podman, Unit: "web.service"}},
		{"podman's monitor is outside", "/machine.slice/libpod-conmon-" + hexB + ".scope",
			Container{Unit: "libpod-conmon-" + hexB + ".scope"}},

		{"lxc", "/lxc.payload.mail/system.slice/postfix.service", Container{ID: "mail", Runtime: LXC, Unit: "postfix.service"}},
		{"lxc of old, and Proxmox", "/lxc/101/ns/init.scope", Container{ID: "101", Runtime: LXC, Unit: "init.scope"}},
		{"docker in lxc", "/lxc.payload.mail/system.slice/docker-" + hexB + ".scope", Container{ID: hexB, Runtime: Docker}},
		{"lxc's monitor is outside", "/lxc.monitor.mail", Container{}},

		{"a service", "/system.slice/nginx.service", Container{Unit: "nginx.service"}},
		{"an instance of a service", "/system.slice/system-getty.slice/getty@tty1.service", Container{Unit: "getty@tty1.service"}},
		{"a directory that a service made", "/system.slice/nginx.service/workers", Container{Unit: "nginx.service"}},
		{"a session", "/user.slice/user-1000.slice/session-3.scope", Container{Unit: "session-3.scope"}},
		{"a user's service", "/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service", Container{Unit: "sync.service"}},
		{"a slice is no unit that runs", "/user.slice/user-1000.slice", Container{}},
		{"systemd itself", "/init.scope", Container{Unit: "init.scope"}},
		{"nspawn", "/machine.slice/systemd-nspawn@mail.service/payload", Container{Unit: "systemd-nspawn@mail.service"}},
		{"an escape", "/system.slice/\x1b[31mx.service", Container{Unit: "\x1b[31mx.service"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Path = tt.path
			if d := cmp.Diff(tt.want, ParsePath(tt.path)); d != "" {
				t.Errorf("ParsePath(%q) (-want +got):\n%s", tt.path, d)
			}
		})
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("/docker/" + hexA)
	f.Add("/kubepods.slice/kubepods-pod" + uid_ + ".slice:cri-containerd:" + hexB)
	f.Add("//:/-/lxc/./pod.slice/lxc.payload.")
	f.Fuzz(func(t *testing.T, path string) {
		c := ParsePath(path)
		if c.Path != path {
			t.Errorf("path became %q", c.Path)
		}
		if c.Runtime != LXC && c.ID != "" && !isID(c.ID) {
			t.Errorf("id %q", c.ID)
		}
		for _, part := range []string{c.ID, c.Unit} {
			if !strings.Contains(path, part) {
				t.Errorf("%q is not in the path", part)
			}
		}
	})
}

func BenchmarkParsePath(b *testing.B) {
	path := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_ + ".slice/cri-containerd-" + hexB + ".scope"
	b.ReportAllocs()
	for b.Loop() {
		ParsePath(path)
	}
}
