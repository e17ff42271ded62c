//go:build !linux

package proc

import (
	"errors"
	"fmt"
	"os"
	"time"
)

var (
	errRemoved = errors.New("the cgroup was removed")
	errOther   = fmt.Errorf("only Linux has it: %w", errors.ErrUnsupported)
)

func openCgroup(*os.File, uint64) (string, error)    { return "", errOther }
func node(string) (dev, ino uint64, err error)       { return 0, 0, errOther }
func fileNode(*os.File) (dev, ino uint64, err error) { return 0, 0, errOther }
func links(string) int                               { return 0 }
func clocks() (now, suspended time.Duration)         { return 0, 0 }
