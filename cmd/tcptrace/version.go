package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is set by the linker for a release: -ldflags "-X main.release=v1.2.3".
var release string

// version says which tcptrace this is, on one line.
func version() string {
	name, commit := release, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if name == "" {
			name = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = fmt.Sprintf(" (commit %.12s)", s.Value)
			}
		}
	}
	if name == "" || name == "(devel)" {
		name = "devel"
	}
	return fmt.Sprintf("tcptrace %s%s %s %s/%s", name, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
