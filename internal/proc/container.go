package proc

import "strings"

// Names of container runtimes, as Container.Runtime gives them.
const (
	Docker     = "docker"
	Containerd = "containerd"
	CRIO       = "cri-o"
	Podman     = "podman"
	LXC        = "lxc"
)

// A Container is what the path of a cgroup says of the processes in it. An
// empty field says that the path does not tell.
type Container struct {
	// ID is the innermost container's full id: 64 hexadecimal digits, or an
	// LXC container's name.
	ID string
	// Runtime is who made it. It may be empty where ID is not: with the
	// cgroupfs driver, Kubernetes' paths name the container alone.
	Runtime string
	// Unit is the innermost systemd service or scope, such as
	// "nginx.service", that is not a container's own scope: on the host, or
	// inside a container that runs systemd.
	Unit string
	// PodUID is the Kubernetes pod's metadata.uid. A static pod's is its
	// configuration's hash, of 32 hexadecimal digits.
	PodUID string
	// Path is the cgroup's path from the root of its hierarchy.
	Path string
}

// scopes are the prefixes of the names that runtimes give to a container's own
// cgroup, before its id, with either cgroup driver. Those of the monitors
// (crio-conmon-, libpod-conmon-) stand outside of the container.
var scopes = []struct{ prefix, runtime string }{
	{"docker-", Docker},
	{"cri-containerd-", Containerd},
	{"nerdctl-", Containerd},
	{"crio-", CRIO},
	{"libpod-payload-", Podman},
	{"libpod-", Podman},
}

// parents are cgroups whose children carry a container's bare id, with the
// cgroupfs driver.
var parents = map[string]string{
	"docker":  Docker,
	"k8s.io":  Containerd, // containerd's namespaces
	"default": Containerd,
	"moby":    Containerd,
}

// ParsePath says what the path of a cgroup tells, whatever runtime, driver
// (systemd or cgroupfs) and nesting made it. Of nested containers it names the
// innermost. The container runtimes' own sources are the source of the forms:
// runc libcontainer/cgroups, Kubernetes pkg/kubelet/cm, crun, podman's libpod.
func ParsePath(path string) Container {
	c := Container{Path: path}
	parent, kube := "", false
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			continue
		}
		kube = kube || strings.Contains(name, "kubepods")
		c.segment(parent, name, kube)
		parent = name
	}
	return c
}

// segment takes in one cgroup of the path. Kube says that it is Kubernetes'.
func (c *Container) segment(parent, name string, kube bool) {
	if kube {
		if uid := podUID(name); uid != "" {
			c.PodUID = uid
		}
	}
	if id, runtime := containerID(parent, name); id != "" {
		c.ID, c.Runtime = id, runtime
		return
	}
	if strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".scope") {
		c.Unit = name
	}
}

// containerID returns the id of the container whose own cgroup is name, or "".
func containerID(parent, name string) (id, runtime string) {
	if isID(name) {
		if parent == "libpod_parent" {
			return "", "" // a podman pod's
		}
		return name, parents[parent]
	}
	if id, ok := strings.CutPrefix(name, "lxc.payload."); ok {
		return id, LXC
	}
	if parent == "lxc" || parent == "lxc.payload" {
		return name, LXC
	}
	// The cgroupfs driver given a path meant for systemd's makes one name of
	// it: "kubepods-pod1234.slice:cri-containerd:<id>".
	if rest, id, ok := cutLast(name, ":"); ok && isID(id) {
		_, prefix, _ := cutLast(rest, ":")
		return id, runtimeOf(prefix + "-")
	}
	bare := strings.TrimSuffix(name, ".scope")
	if prefix, id, ok := cutLast(bare, "-"); ok && isID(id) {
		if runtime := runtimeOf(prefix + "-"); runtime != "" {
			return id, runtime
		}
	}
	return "", ""
}

func runtimeOf(prefix string) string {
	for _, s := range scopes {
		if s.prefix == prefix {
			return s.runtime
		}
	}
	return ""
}

// podUID returns the uid in the name of a pod's cgroup: "pod<uid>", or, as a
// slice of systemd's, "kubepods-burstable-pod<uid>.slice" with underscores.
func podUID(name string) string {
	name, _, _ = strings.Cut(name, ":")
	if slice, ok := strings.CutSuffix(name, ".slice"); ok {
		_, name, _ = cutLast(slice, "-")
		name = strings.ReplaceAll(name, "_", "-")
	}
	uid, ok := strings.CutPrefix(name, "pod")
	if !ok || !isHash(uid) && !isUUID(uid) {
		return ""
	}
	return uid
}

func isID(s string) bool   { return len(s) == 64 && isHex(s) }
func isHash(s string) bool { return len(s) == 32 && isHex(s) }

func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	return isHash(strings.ReplaceAll(s, "-", ""))
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
