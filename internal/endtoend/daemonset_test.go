//go:build linux

package endtoend

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
)

// A manifest is what these tests read of an object of Kubernetes.
type manifest struct {
	Kind string
	Data map[string]string
	Spec struct{ Template struct{ Spec pod } }
}

type pod struct {
	HostPID     bool `yaml:"hostPID"`
	HostNetwork bool `yaml:"hostNetwork"`
	Containers  []struct {
		SecurityContext struct {
			RunAsUser                int  `yaml:"runAsUser"`
			Privileged               bool `yaml:"privileged"`
			AllowPrivilegeEscalation bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct{ Drop, Add []string }
		} `yaml:"securityContext"`
		VolumeMounts []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	Volumes []struct {
		Name     string
		HostPath struct{ Path string } `yaml:"hostPath"`
	}
}

func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	objects := map[string]manifest{}
	for part := range strings.SplitSeq(read(t, "kubernetes/daemonset.yaml"), "\n---\n") {
		var o manifest
		if err := yaml.Unmarshal([]byte(part), &o); err != nil {
			t.Fatal(err)
		}
		objects[o.Kind] = o
	}
	return objects
}

// The DaemonSet has the unit's capabilities, but for the one of old kernels and
// those that SYS_ADMIN includes, and what its ConfigMap has is a configuration.
func TestDeploy_DaemonSet(t *testing.T) {
	objects := manifests(t)
	pod := objects["DaemonSet"].Spec.Template.Spec
	if len(pod.Containers) != 1 || !pod.HostPID || pod.Containers[0].SecurityContext.Privileged {
		t.Fatalf("the pod is %+v", pod)
	}
	capabilities := pod.Containers[0].SecurityContext.Capabilities
	line := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindStringSubmatch(read(t, "systemd/tcptrace.service"))
	var unit []string
	for c := range strings.FieldsSeq(line[1]) {
		if !slices.Contains([]string{"CAP_SYS_RESOURCE", "CAP_BPF", "CAP_PERFMON"}, c) {
			unit = append(unit, strings.TrimPrefix(c, "CAP_"))
		}
	}
	sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	if diff := cmp.Diff(unit, capabilities.Add, sorted); diff != "" || !cmp.Equal(capabilities.Drop, []string{"ALL"}) {
		t.Errorf("dropped: %v; added (-unit +DaemonSet):\n%s", capabilities.Drop, diff)
	}
	for name, text := range map[string]string{
		"the ConfigMap's": objects["ConfigMap"].Data["agent.yml"], "systemd's": read(t, "systemd/agent.yml"),
	} {
		file := filepath.Join(t.TempDir(), "agent.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _ := exec.Command(binary, "agent", "--config", file, "--max-series", "1").CombinedOutput()
		if !strings.HasPrefix(string(out), "tcptrace: --max-series: a budget of 1 series is too small") { // so the file was read
			t.Errorf("%s agent.yml: %s", name, out)
		}
	}
}

// run returns a command that runs tcptrace as the pod says, with the namespaces,
// masks and mounts that the kubelet gives such a container, by the program that
// its runtimes use, too.
func (p *pod) run(t *testing.T, runc string, args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/rootfs", 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/rootfs/tcptrace", program, 0o755); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("tcptrace-test-%d-%d", os.Getpid(), len(args))
	config := p.runtimeConfig(name, append([]string{"/tcptrace"}, args...))
	for _, mount := range config["mounts"].([]m) { // the root is read-only
		if err := os.MkdirAll(filepath.Join(dir, "rootfs", mount["destination"].(string)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/config.json", text, 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command(runc, "--root", dir+"/state", "run", "--bundle", dir, name)
}

type m = map[string]any

// runtimeConfig is what a kubelet has its runtime make of the pod.
func (p *pod) runtimeConfig(name string, args []string) m {
	mounts := []m{
		{"destination": "/proc", "type": "proc", "source": "proc"},
		{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": []string{"nosuid", "noexec", "nodev", "ro"}},
	}
	c := &p.Containers[0]
	for _, v := range c.VolumeMounts {
		for _, volume := range p.Volumes {
			if volume.Name == v.Name && volume.HostPath.Path != "" && v.ReadOnly {
				mounts = append(mounts, m{"destination": v.MountPath, "type": "bind", "source": volume.HostPath.Path, "options": []string{"rbind", "ro"}})
			}
		}
	}
	var capabilities []string
	for _, name := range c.SecurityContext.Capabilities.Add {
		capabilities = append(capabilities, "CAP_"+name)
	}
	namespaces := []m{{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}}
	if !p.HostPID {
		namespaces = append(namespaces, m{"type": "pid"})
	}
	if !p.HostNetwork {
		namespaces = append(namespaces, m{"type": "network"})
	}
	return m{
		"ociVersion": "1.0.2",
		"process": m{
			"user": m{"uid": c.SecurityContext.RunAsUser, "gid": 0}, "args": args, "cwd": "/",
			"capabilities":    m{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
			"noNewPrivileges": !c.SecurityContext.AllowPrivilegeEscalation,
		},
		"root":   m{"path": "rootfs", "readonly": c.SecurityContext.ReadOnlyRootFilesystem},
		"mounts": mounts,
		"linux": m{
			"namespaces": namespaces, "cgroupsPath": "/" + name,
			"maskedPaths":   []string{"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware"},
			"readonlyPaths": []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

// In a container with the DaemonSet's privileges and mounts, and no others, all is
// seen that root sees, and the agent tells of the sockets of other namespaces.
func TestDeploy_DaemonSetsPrivilegesAreEnough(t *testing.T) {
	needStatic(t)
	runc := need(t, "runc", "runc")
	pod := manifests(t)["DaemonSet"].Spec.Template.Spec
	all := tcptrace(t, "doctor", "-o", "json")
	there, err := pod.run(t, runc, "doctor", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(all), string(there)); diff != "" {
		t.Errorf("what is seen (-as root +as the DaemonSet):\n%s", diff)
	}
	helper := startHelper(t, "each daemonset-see", nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	cmd := pod.run(t, runc, "agent", "--listen", l.Addr().String(), "--netns", helper.netns)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt) // which runc hands on
		io.Copy(io.Discard, said)
		cmd.Wait()
	})
	if first, err := bufio.NewReader(said).ReadString('\n'); !strings.HasPrefix(first, "tracing") {
		t.Fatalf("it does not say that it is tracing, but %q, %v", first, err)
	}
	a := &agent{tracer: &tracer{t: t}, address: l.Addr().String()}
	a.until("sockets", map[string]float64{
		"daemonset-see LISTEN": 1, "daemonset-see ESTABLISHED": 4, "daemonset-see CLOSE_WAIT": 1, "unknown FIN_WAIT2": 1, "unknown TIME_WAIT": 1,
	}, "process", "state")
	a.verdict()
}
