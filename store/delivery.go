package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Delivery puts the same contents into the Maildirs of any number of
// recipients: written and synced once, hard-linked for the others.
// It is used by one goroutine.
type Delivery struct {
	store    *Store
	contents []Content  // that all recipients share
	staged   [][]staged // copies of them that further recipients can be linked to, the newest last
	tmp      []string   // every file that was made in a tmp folder
}

// staged is a copy of a content, whole and synced, in some tmp folder.
type staged struct {
	path    string
	content Content
}

// PartialError says that the first Done contents are visible and durable
// although To failed: a retry must not deliver them again.
type PartialError struct {
	Done int
	Err  error
}

// Error gives the words of the cause.
func (e *PartialError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *PartialError) Unwrap() error { return e.Err }

// To delivers into one Maildir: first what is this recipient's own (a report), then
// what all share. When it returns nil, every content is durable and visible
// there; else none is visible and no file of ours is left, or the error says
// otherwise (errors.As with *PartialError, which counts own contents first).
// Everything is synced before anything is visible. A failure for one
// recipient does not stand in the way of the next. Errors: ErrPlace, ErrFull,
// ErrQuota, and whatever else the system says.
//
// One case is left open: when the sync of the folder fails and the files
// cannot be taken back either, they stay, and a retry delivers them again.
func (d *Delivery) To(maildir string, own ...Content) error {
	if err := d.store.checkPlace(maildir); err != nil {
		return err
	}
	if len(d.contents)+len(own) == 0 {
		return errors.New("deliver: no content")
	}
	err := d.attempt(maildir, own)
	if errors.Is(err, fs.ErrNotExist) && !isPartial(err) {
		var made bool
		if made, err = d.store.makeFolders(maildir); err == nil {
			if !made {
				d.staged = nil // the folders are there: the staged files have gone
			}
			err = d.attempt(maildir, own)
		}
	}
	if err != nil {
		return classify(fmt.Errorf("deliver: %w", err))
	}
	d.store.settle()
	d.store.tidy(maildir)
	return nil
}

// Close removes what is left in tmp. It must be called once. Its error takes
// nothing back: what To delivered stays delivered.
func (d *Delivery) Close() error {
	var left []staged
	for _, path := range d.tmp {
		left = append(left, staged{path: path})
	}
	d.tmp, d.staged = nil, nil
	return d.remove(left)
}

// attempt delivers into a Maildir whose folders are taken to exist.
func (d *Delivery) attempt(maildir string, own []Content) error {
	first, err := d.stage(maildir, own)
	if err != nil {
		return err
	}
	defer d.remove(first) // they are nobody else's
	for _, shared := range slices.Backward(d.staged) {
		if err := d.show(slices.Concat(first, shared), maildir, d.store.files.link); !cannotLink(err) {
			return err
		}
	}
	shared, err := d.stage(maildir, d.contents)
	if err != nil {
		return err
	}
	all := slices.Concat(first, shared)
	err = d.show(all, maildir, d.store.files.link)
	if !cannotLink(err) {
		d.staged = append(d.staged, shared)
		return err
	}
	// A file system without hard links: the staged files themselves are moved.
	if err = d.show(all, maildir, d.store.files.rename); err != nil {
		d.remove(shared) // what was not moved; Close tries again
	}
	return err
}

// stage writes and syncs a copy of every content in the tmp folder of maildir.
func (d *Delivery) stage(maildir string, contents []Content) ([]staged, error) {
	var done []staged
	for _, c := range contents {
		path := filepath.Join(maildir, "tmp", d.store.tmpName())
		f, err := d.store.files.create(path)
		if err == nil {
			d.tmp = append(d.tmp, path)
			done = append(done, staged{path, c})
			err = fill(f, path, c)
		}
		if err != nil {
			d.remove(done) // room on a full disk, now and not at Close
			return nil, err
		}
	}
	return done, nil
}

// fill writes c, syncs and closes f. A sync that failed is not tried again: the
// kernel then takes the pages for written, and the second sync would succeed.
func fill(f openFile, path string, c Content) error {
	wrote := false
	defer func() {
		if !wrote { // c panics: nobody else closes it
			f.close()
		}
	}()
	n, err := f.write(c)
	switch {
	case err != nil:
		err = fmt.Errorf("write %s: %w", path, err)
	case n != c.Size():
		err = fmt.Errorf("write %s: %d bytes of %d", path, n, c.Size())
	default:
		err = f.sync()
	}
	wrote = true
	return errors.Join(err, f.close())
}

// show makes the staged files visible in the new folder of maildir, in their
// order, with move (link or rename), and makes that durable.
func (d *Delivery) show(files []staged, maildir string, move func(from, to string) error) error {
	folder := filepath.Join(maildir, "new")
	var shown []string
	for _, f := range files {
		to := filepath.Join(folder, d.store.newName(f.content))
		if err := move(f.path, to); err != nil {
			left := d.takeBack(shown)
			// What stays counts as delivered only when it is durable.
			if left > 0 && d.store.files.syncDir(folder) == nil {
				return &PartialError{Done: left, Err: err}
			}
			return err
		}
		shown = append(shown, to)
	}
	if err := d.store.files.syncDir(folder); err != nil {
		d.takeBack(shown)
		return err
	}
	return nil
}

// takeBack removes files from new, the last one first: what stays, should one
// withstand, is never a message without the report before it. It gives the
// number that stay. A file that is not there any more was moved by a mail
// reader: it stays visible.
func (d *Delivery) takeBack(shown []string) (left int) {
	for i, path := range slices.Backward(shown) {
		if d.store.files.unlink(path) != nil {
			return i + 1
		}
	}
	return 0
}

// remove removes files from tmp; those that have gone are no error. A file
// that withstands is left to Close.
func (d *Delivery) remove(files []staged) error {
	var errs []error
	for _, f := range files {
		err := d.store.files.unlink(f.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		d.tmp = slices.DeleteFunc(d.tmp, func(path string) bool { return path == f.path })
	}
	return errors.Join(errs...)
}

// cannotLink tells a place that a file cannot be linked to from a fault.
func cannotLink(err error) bool {
	if isPartial(err) {
		return false
	}
	return slices.ContainsFunc([]error{unix.EXDEV, unix.EMLINK, unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS},
		func(errno error) bool { return errors.Is(err, errno) })
}

func isPartial(err error) bool {
	var partial *PartialError
	return errors.As(err, &partial)
}
