package proc

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// fileidKernfs is FILEID_KERNFS (include/linux/exportfs.h): a handle that is
// the 64-bit id of a kernfs node, a cgroup's id.
const fileidKernfs = 0xfe

// errRemoved says that a cgroup is gone for good: ids are not used again.
var errRemoved = errors.New("the cgroup was removed")

// openCgroup returns the path, below the root of the file system, of the
// cgroup with this id in the cgroup v2 hierarchy mounted at mount, which is
// open. It needs CAP_DAC_READ_SEARCH.
func openCgroup(mount *os.File, id uint64) (string, error) {
	handle := unix.NewFileHandle(fileidKernfs, binary.NativeEndian.AppendUint64(nil, id))
	fd, err := unix.OpenByHandleAt(int(mount.Fd()), handle, unix.O_PATH|unix.O_CLOEXEC)
	if errors.Is(err, unix.ESTALE) {
		return "", errRemoved
	}
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
}

// node returns the device and inode of what path leads to.
func node(path string) (dev, ino uint64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Dev, st.Ino, nil
}

// links returns the number of links to what path leads to.
func links(path string) int {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return int(st.Nlink)
}

// fileNode returns the device and inode of an open file.
func fileNode(f *os.File) (dev, ino uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, 0, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	return st.Dev, st.Ino, nil
}

// clocks reads CLOCK_MONOTONIC, and how far CLOCK_BOOTTIME is ahead of it: the
// time that the host was suspended.
func clocks() (now, suspended time.Duration) {
	var mono, boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return 0, 0
	}
	now = time.Duration(mono.Nano())
	// Two readings are never at one instant: less than this is no suspension.
	if suspended = time.Duration(boot.Nano()) - now; suspended < time.Millisecond {
		suspended = 0
	}
	return now, suspended
}
