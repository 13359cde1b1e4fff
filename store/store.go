// Package store puts messages into Maildirs: a message is there whole and
// durable, or it is not there.
//
// A delivery is written once into the tmp folder of the first recipient's
// Maildir and synced there; every recipient gets hard links in new, followed by
// a sync of that folder. Recipients whose Maildir cannot be linked to (another
// file system) get a copy. The package only adds to Maildirs: reading them,
// moving mail from new to cur and counting quota are the work of the POP and
// IMAP server, and nothing of its files is touched.
package store

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Errors that callers tell apart. Each comes wrapped with the place and the system's own words.
var (
	ErrFull  = errors.New("disk full")               // ENOSPC, EFBIG
	ErrQuota = errors.New("over quota")              // EDQUOT
	ErrPlace = errors.New("not below the mail root") // a Maildir path that must not be written to
)

// Content is the bytes of one message.
type Content interface {
	// WriterTo writes all of it; called once for each file that has to be made. What it is
	// given has a method Fd, as an *os.File has, so that it may copy within the kernel.
	io.WriterTo
	Size() int64        // bytes
	VirtualSize() int64 // bytes with every line end counted as CRLF: Dovecot's W=
}

// Options configures a Store.
type Options struct {
	Hostname string // part of file names; "/", ":" and whatever else could be misread there are escaped

	// Root is the folder that Maildirs lie below; missing folders below it are
	// made, itself never (it may be a disk that is not mounted). "" allows no
	// making, and Maildirs anywhere. Paths are compared as they are written: a
	// symbolic link below Root is followed wherever it leads, as the POP and IMAP
	// server does, for that is how mailboxes are moved to another disk.
	Root string
}

// Store writes Maildirs. It is safe for concurrent use.
type Store struct {
	files fileLayer
	now   func() time.Time
	root  string
	host  string // escaped
	token string // marks the tmp files of this Store: CleanTmp spares them

	tidied  visited       // Maildirs whose tmp folder was looked at
	names   atomic.Uint64 // names given out
	makers  atomic.Int32  // deliveries that are making folders, or waiting to
	folders sync.Mutex    // held while folders are made and synced
}

// New makes a Store.
func New(o Options) *Store {
	s := &Store{
		files: system{},
		now:   time.Now,
		host:  escapeHost(o.Hostname),
		token: fmt.Sprintf("%016x", rand.Uint64()),
	}
	if o.Root != "" {
		s.root = filepath.Clean(o.Root)
	}
	return s
}

// Prepare makes a delivery of contents that several recipients share, in the
// order in which they are to show. Nothing is written before the first To.
func (s *Store) Prepare(contents ...Content) *Delivery {
	return &Delivery{store: s, contents: contents}
}

// CleanTmp removes files of our own names from the tmp folder of a Maildir
// that a crash left: those that were last written longer than age ago. Files
// of this Store are spared whatever their age, since a clock that was set
// forward makes those of a running delivery look old. A Maildir that is not
// there has nothing to remove.
func (s *Store) CleanTmp(maildir string, age time.Duration) (removed int, err error) {
	if err := s.checkPlace(maildir); err != nil {
		return 0, err
	}
	tmp := filepath.Join(maildir, "tmp")
	entries, err := os.ReadDir(tmp)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("clean tmp: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tmpPrefix) || strings.HasPrefix(e.Name(), tmpPrefix+s.token) {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || s.now().Sub(info.ModTime()) <= age {
			continue // an error: it has gone meanwhile
		}
		if err := s.files.unlink(filepath.Join(tmp, e.Name())); err != nil {
			errs = append(errs, fmt.Errorf("clean tmp: %w", err))
			continue
		}
		removed++
	}
	return removed, errors.Join(errs...)
}

// leftAfter is the age from which a tmp file of another Store of ours is what a
// crash left: no delivery takes that long between its first write and its link.
const leftAfter = time.Hour

// tidy cleans the tmp folder of a Maildir, at the first delivery into it since
// the start: a crash leaves its files where mail goes. What cannot be removed
// now waits for the next start, or for the POP and IMAP server.
func (s *Store) tidy(maildir string) {
	if s.tidied.first(maildir) {
		_, _ = s.CleanTmp(maildir, leftAfter)
	}
}

// visited is a set of Maildirs, of bounded size: when it is full it starts anew,
// and the Maildirs in it are looked at once more.
type visited struct {
	mu   sync.Mutex
	seen map[string]struct{}
}

// maxVisited bounds a set of Maildirs: some 10 MB.
const maxVisited = 100_000

// first adds maildir and reports whether it is new.
func (v *visited) first(maildir string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.seen[maildir]; ok {
		return false
	}
	if v.seen == nil || len(v.seen) >= maxVisited {
		v.seen = make(map[string]struct{})
	}
	v.seen[maildir] = struct{}{}
	return true
}

// classify adds to an error of the system what callers tell apart.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w: %w", ErrQuota, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EFBIG):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
