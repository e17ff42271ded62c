package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// keyring verifies the archives' signatures. The package debian-archive-keyring
// brings it.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// An image is a kernel on disk: its directory in the cache holds vmlinuz and
// the modules.
type image struct {
	kernel kernel
	dir    string
}

// An archive is apt for one suite, apart from the machine's own: its lists, its
// cache, no installed packages.
type archive struct {
	dir     string
	machine string // amd64 or arm64
	env     []string
}

// newArchive writes apt's configuration for the kernel's suite and a kind of
// machine.
func newArchive(k *kernel, cache, machine string) (*archive, error) {
	dir := filepath.Join(cache, "apt-"+k.suite+"-"+machine)
	for _, sub := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	from := "deb [signed-by=" + keyring + "] http://deb.debian.org/"
	sources := from + "debian " + k.suite + " main\n"
	if k.security {
		sources += from + "debian-security " + k.suite + "-security main\n"
	}
	config := fmt.Sprintf(`Dir::Etc::SourceList "%[1]s/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "%[1]s/lists";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s";
APT::Architecture "%[2]s";
APT::Architectures "%[2]s";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
`, dir, machine)
	for name, text := range map[string]string{"sources.list": sources, "apt.conf": config, "status": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return &archive{dir, machine, append(os.Environ(), "APT_CONFIG="+filepath.Join(dir, "apt.conf"), "LC_ALL=C")}, nil
}

// run runs a program of apt's and returns what it prints.
func (a *archive) run(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Dir = a.env, dir
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%s: %w", strings.TrimSpace(string(exit.Stderr)), err)
		}
		return "", fmt.Errorf("%s %s: %w", program, args[0], err)
	}
	return string(out), nil
}

var kernelPackage = regexp.MustCompile(`^linux-(image|binary|modules)-[0-9].*-cloud-(amd64|arm64)$`)

// packages names the packages of the suite's newest kernel: one, or since
// 2026 its image and its modules apart.
func (a *archive) packages(ctx context.Context) ([]string, error) {
	metapackage := metapackage + a.machine
	out, err := a.run(ctx, a.dir, "apt-cache", "depends", "--recurse", "--important", metapackage)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(out) {
		if name := strings.TrimSpace(line); kernelPackage.MatchString(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s depends on no kernel", metapackage)
	}
	slices.Sort(names)
	return names, nil
}

// fetch brings the suite's newest kernel into the cache, unless it is there,
// and removes older ones. apt verifies what it downloads by the suite's
// signature; the directory is named after the hashes that are signed, and after
// what a guest needs of the packages.
func fetch(ctx context.Context, k kernel, cache string) (*image, error) {
	a, err := newArchive(&k, cache, "amd64")
	if err != nil {
		return nil, err
	}
	names, hash, err := a.newest(ctx)
	if err != nil {
		return nil, err
	}
	img := &image{k, filepath.Join(cache, "linux-"+k.name+"-"+hash)}
	if _, err := os.Stat(img.dir); err == nil {
		return img, nil
	}
	if err := a.unpack(ctx, names, img.dir); err != nil {
		return nil, err
	}
	return img, removeOthers(img)
}

// newest names the packages of the suite's newest kernel, and their content.
func (a *archive) newest(ctx context.Context) (names []string, hash string, err error) {
	if _, err := a.run(ctx, a.dir, "apt-get", "-q", "--error-on=any", "update"); err != nil {
		return nil, "", err
	}
	if names, err = a.packages(ctx); err != nil {
		return nil, "", err
	}
	signed, err := a.run(ctx, a.dir, "apt-get", append([]string{"download", "--print-uris"}, names...)...)
	if err != nil {
		return nil, "", err
	}
	content := sha256.Sum256([]byte(signed + strings.Join(modules, " ")))
	return names, fmt.Sprintf("%.12x", content), nil
}

// cached returns the kernel that an earlier run brought, if there is one.
func cached(k kernel, cache string) *image {
	dirs, err := filepath.Glob(filepath.Join(cache, "linux-"+k.name+"-*"))
	if err != nil || len(dirs) == 0 {
		return nil
	}
	return &image{k, dirs[0]}
}

func removeOthers(img *image) error {
	dirs, err := filepath.Glob(filepath.Join(filepath.Dir(img.dir), "linux-"+img.kernel.name+"-*"))
	for _, dir := range dirs {
		if dir != img.dir {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

// unpack downloads the packages and leaves in dir what a guest needs of them.
func (a *archive) unpack(ctx context.Context, names []string, dir string) error {
	temp, err := os.MkdirTemp(a.dir, "unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	tree, err := a.extract(ctx, names, temp)
	if err != nil {
		return err
	}
	keep := filepath.Join(temp, "keep")
	if err := os.Mkdir(keep, 0o755); err != nil {
		return err
	}
	if err := pick(ctx, a, tree, keep); err != nil {
		return err
	}
	return os.Rename(keep, dir)
}

// extract downloads the packages to dir and returns the tree of their files.
func (a *archive) extract(ctx context.Context, names []string, dir string) (tree string, err error) {
	if _, err := a.run(ctx, dir, "apt-get", append([]string{"-q", "download"}, names...)...); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return "", err
	}
	tree = filepath.Join(dir, "tree")
	for _, deb := range debs {
		if _, err := a.run(ctx, dir, "dpkg-deb", "--extract", deb, tree); err != nil {
			return "", err
		}
	}
	return tree, nil
}

// pick moves the image and the modules out of an unpacked tree.
func pick(ctx context.Context, a *archive, tree, keep string) error {
	missing := map[string]bool{"vmlinuz": true}
	for _, name := range modules {
		missing[name+".ko"] = true
	}
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, packed := strings.CutSuffix(entry.Name(), ".xz")
		if strings.HasPrefix(name, "vmlinuz") {
			name = "vmlinuz"
		}
		if !missing[name] {
			return nil
		}
		delete(missing, name)
		if packed {
			if _, err := a.run(ctx, keep, "busybox", "unxz", path); err != nil {
				return err
			}
			path = strings.TrimSuffix(path, ".xz")
		}
		return os.Rename(path, filepath.Join(keep, name))
	})
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("the packages hold no %v", missing)
	}
	return err
}
