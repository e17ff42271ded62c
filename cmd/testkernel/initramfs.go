package main

import (
	_ "embed" // of the guest's first process
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

//go:embed init.sh
var initScript []byte

// An initramfs is a guest's whole file system, in the format that the kernel
// unpacks at boot: cpio's "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).
type initramfs struct {
	w      io.Writer
	offset int
	inode  int
	err    error
}

// Modes of cpio's entries.
const (
	modeDir  = 0o040755
	modeFile = 0o100755
	modeLink = 0o120777
)

func (c *initramfs) entry(name string, mode int, content []byte) {
	c.inode++
	c.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		c.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name))
	c.write(content)
}

// write pads to a multiple of four bytes.
func (c *initramfs) write(b []byte) {
	if c.err != nil {
		return
	}
	_, c.err = c.w.Write(b)
	c.offset += len(b)
	if rest := c.offset % 4; rest != 0 && c.err == nil {
		_, c.err = c.w.Write(make([]byte, 4-rest))
		c.offset += 4 - rest
	}
}

func (c *initramfs) file(name, path string) {
	content, err := os.ReadFile(path)
	if err != nil {
		c.err = err
		return
	}
	c.entry(name, modeFile, content)
}

// writeInitramfs makes the guest's file system: busybox, the kernel's modules,
// the programs, and a script that runs them.
func writeInitramfs(path string, img *image, programs []string, script string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	c := &initramfs{w: f}
	for _, dir := range strings.Fields("bin dev etc modules proc root sys tmp") {
		c.entry(dir, modeDir, nil)
	}
	c.entry("init", modeFile, initScript)
	c.entry("script", modeFile, []byte(script))
	c.entry("bin/sh", modeLink, []byte("busybox"))
	c.file("bin/busybox", "/bin/busybox")
	for _, name := range modules {
		c.file("modules/"+name+".ko", filepath.Join(img.dir, name+".ko"))
	}
	for _, program := range programs {
		c.file("bin/"+filepath.Base(program), program)
	}
	c.entry("TRAILER!!!", 0, nil)
	if c.err != nil {
		return fmt.Errorf("make the guest's file system: %w", c.err)
	}
	return f.Close()
}
