package store

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// fileLayer is what the package asks of the file system: every step whose
// failure or order decides whether mail is kept. Tests put faults into it.
type fileLayer interface {
	create(path string) (openFile, error) // a new file, mode 0600; an existing one is an error
	link(from, to string) error
	rename(from, to string) error
	unlink(path string) error // a file, or an empty folder
	mkdir(path string) error  // mode 0700
	syncDir(path string) error
}

// openFile is a file that is being written.
type openFile interface {
	write(w io.WriterTo) (int64, error)
	sync() error
	close() error
}

// system is the real file system.
type system struct{}

func (system) create(path string) (openFile, error) {
	fd, err := openPath(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &descriptor{fd, path}, nil
}

func (system) link(from, to string) error   { return os.Link(from, to) }
func (system) rename(from, to string) error { return os.Rename(from, to) }
func (system) unlink(path string) error     { return os.Remove(path) }
func (system) mkdir(path string) error      { return os.Mkdir(path, 0o700) }

func (system) syncDir(path string) error {
	fd, err := openPath(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	dir := descriptor{fd, path}
	defer dir.close()
	return dir.sync()
}

// openPath is the system call, again when a signal came.
func openPath(path string, flags int, mode uint32) (fd int, err error) {
	for {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, mode)
		switch {
		case err == nil:
			return fd, nil
		case !errors.Is(err, unix.EINTR):
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// descriptor is an open file or folder. Package os would ask the kernel four times what
// kind it is of.
type descriptor struct {
	fd   int
	path string
}

func (d *descriptor) write(w io.WriterTo) (int64, error) { return w.WriteTo(d) }

// Fd is what contents copy to within the kernel.
func (d *descriptor) Fd() uintptr { return uintptr(d.fd) }

// Write implements io.Writer.
func (d *descriptor) Write(b []byte) (n int, err error) {
	for n < len(b) {
		k, err := unix.Write(d.fd, b[n:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return n, d.fault("write", err)
		case k == 0:
			return n, d.fault("write", io.ErrUnexpectedEOF)
		default:
			n += k
		}
	}
	return n, nil
}

func (d *descriptor) sync() error {
	err := unix.Fsync(d.fd)
	for errors.Is(err, unix.EINTR) { // a sync without an outcome, not one that failed
		err = unix.Fsync(d.fd)
	}
	return d.fault("sync", err)
}

// close does not close again after EINTR: Linux has closed it.
func (d *descriptor) close() error {
	err := unix.Close(d.fd)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return d.fault("close", err)
}

func (d *descriptor) fault(op string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: d.path, Err: err}
}
