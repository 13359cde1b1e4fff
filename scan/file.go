package scan

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Unlinked makes an empty file in dir that has no name: it is gone when its last
// descriptor is closed, however the process ends.
func Unlinked(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), "unlinked"), nil
	}
	if err != unix.EOPNOTSUPP && err != unix.EISDIR {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	// The file system cannot make a file without a name (some overlays, NFS).
	f, err := os.CreateTemp(dir, ".kiyome-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// mapFrom is the size in bytes from which a message is mapped: below it, one
// read costs less than the page faults of a mapping.
const mapFrom = 64 << 10

// Map gives the size bytes of f for reading, until release is called. Nobody may
// shorten the file meanwhile: a Message's descriptor keeps that promise.
func Map(f *os.File, size int64) (data []byte, release func(), err error) {
	if size < mapFrom {
		data = make([]byte, size)
		if _, err := f.ReadAt(data, 0); err != nil && size > 0 {
			return nil, nil, fmt.Errorf("read the message: %w", err)
		}
		return data, func() {}, nil
	}
	data, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map the message: %w", os.NewSyscallError("mmap", err))
	}
	return data, func() { _ = unix.Munmap(data) }, nil // fails for a bad address only
}
