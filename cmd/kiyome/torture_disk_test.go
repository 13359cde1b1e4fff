//go:build torture

package main_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// disk is the disk below a file system: a file that this test serves (FUSE), with a loop
// device on it. It writes down what the file system writes and when it asks for that to
// be durable (a flush), and so can say afterwards what a power cut at any moment would have
// left, whatever lay in the page cache or in the disk's own.
type disk struct {
	fs.Inode
	mu    sync.Mutex
	bytes []byte  // as they are now
	base  []byte  // as they were when recording began
	log   []write // since then
}

// write is a write to the disk; without data, a flush: all before it is durable.
type write struct {
	at   int64
	data []byte
}

var (
	_ fs.NodeGetattrer = (*disk)(nil)
	_ fs.NodeSetattrer = (*disk)(nil)
	_ fs.NodeOpener    = (*disk)(nil)
	_ fs.NodeReader    = (*disk)(nil)
	_ fs.NodeWriter    = (*disk)(nil)
	_ fs.NodeFsyncer   = (*disk)(nil)
)

// sector is what a disk writes whole or not at all: a block of the file system, which trusts in
// that for its superblock.
const sector = 4096

// newDisk makes a disk with an empty ext4 on it, and mounts that at dir.
func newDisk(t *testing.T, dir string) *disk {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	newImage(t, image, "192M")
	d := &disk{bytes: readFile(t, image)}
	served := t.TempDir()
	root := &fs.Inode{}
	server, err := fs.Mount(served, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, DisableXAttrs: true, MaxWrite: 1 << 20, FsName: "kiyome-torture"},
		OnAdd: func(ctx context.Context) {
			root.AddChild("disk", root.NewPersistentInode(ctx, d, fs.StableAttr{Mode: fuse.S_IFREG}), true)
		},
	})
	if err != nil {
		t.Fatalf("serve a disk by FUSE: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Errorf("the disk stays mounted at %s: %v", served, err)
		}
	})
	mount(t, filepath.Join(served, "disk"), dir)
	return d
}

// newImage makes a file with an empty ext4 on it.
func newImage(t *testing.T, image, size string, more ...string) {
	t.Helper()
	args := append([]string{"-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-b", "4096"}, more...)
	must(t, "mkfs.ext4", append(args, image, size)...)
}

// mount mounts an image until the test ends, or until unmount.
func mount(t *testing.T, image, dir string, options ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, "mount", append([]string{"-o", "loop", image, dir}, options...)...)
	t.Cleanup(func() { unmount(dir) })
}

// unmount is at once for those who come; the device goes when nobody has it open any more.
func unmount(dir string) {
	if syscall.Unmount(dir, 0) != nil {
		syscall.Unmount(dir, syscall.MNT_DETACH)
	}
}

// Getattr implements fs.NodeGetattrer.
func (d *disk) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = fuse.S_IFREG|0o600, uint64(len(d.bytes))
	return 0
}

// Setattr implements fs.NodeSetattrer: the times of writing, which are nobody's concern.
func (d *disk) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.Getattr(ctx, f, out)
}

// Open implements fs.NodeOpener. Nothing is cached between the loop device and the log.
func (d *disk) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

// Read implements fs.NodeReader.
func (d *disk) Read(_ context.Context, _ fs.FileHandle, dest []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at >= int64(len(d.bytes)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, d.bytes[at:])]), 0
}

// Write implements fs.NodeWriter.
func (d *disk) Write(_ context.Context, _ fs.FileHandle, data []byte, at int64) (uint32, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at+int64(len(data)) > int64(len(d.bytes)) {
		return 0, syscall.ENOSPC
	}
	copy(d.bytes[at:], data)
	if d.base != nil {
		d.log = append(d.log, write{at, bytes.Clone(data)})
	}
	return uint32(len(data)), 0
}

// Fsync implements fs.NodeFsyncer: a flush.
func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.base != nil {
		d.log = append(d.log, write{})
	}
	return 0
}

// record begins to write down.
func (d *disk) record() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.base, d.log = bytes.Clone(d.bytes), nil
}

// moment is how far the log has come: what was acknowledged now has to be there after
// a cut at this moment or later.
func (d *disk) moment() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.log)
}

// cut is what the disk holds after a power cut at a moment: all that was written before the
// last flush; of what came after it any part, in any order, and of that the last in
// part, for a disk that has a cache promises no more.
func (d *disk) cut(moment int, random *rand.Rand) []byte {
	left := bytes.Clone(d.base)
	log := d.log[:moment]
	durable := len(log)
	for durable > 0 && log[durable-1].data != nil {
		durable--
	}
	for _, w := range log[:durable] {
		copy(left[w.at:], w.data)
	}
	late := slices.Clone(log[durable:])
	keep := random.IntN(3) // none, about half, or nearly all of them
	for _, w := range late {
		switch n := random.IntN(8); {
		case keep == 0, keep == 1 && n < 4, keep == 2 && n == 0:
		case n == 7:
			copy(left[w.at:], w.data[:len(w.data)/sector/2*sector])
		default:
			copy(left[w.at:], w.data)
		}
	}
	return left
}
