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
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return systemFile{f}, nil
}

func (system) link(from, to string) error   { return os.Link(from, to) }
func (system) rename(from, to string) error { return os.Rename(from, to) }
func (system) unlink(path string) error     { return os.Remove(path) }
func (system) mkdir(path string) error      { return os.Mkdir(path, 0o700) }

// syncDir goes past package os, which would ask the kernel twice more what it has opened.
func (system) syncDir(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.Fsync(fd); err != nil {
		return &os.PathError{Op: "sync", Path: path, Err: err}
	}
	return nil
}

type systemFile struct{ f *os.File }

func (f systemFile) write(w io.WriterTo) (int64, error) { return w.WriteTo(f.f) }
func (f systemFile) sync() error                        { return f.f.Sync() }
func (f systemFile) close() error                       { return f.f.Close() }
