package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// checkPlace says whether maildir is a path that may be written to.
func (s *Store) checkPlace(maildir string) error {
	switch {
	case !filepath.IsAbs(maildir), filepath.Clean(maildir) != maildir, strings.ContainsRune(maildir, 0):
	case s.root != "" && !strings.HasPrefix(maildir, strings.TrimSuffix(s.root, "/")+"/"):
	case maildir == "/":
	default:
		return nil
	}
	return fmt.Errorf("maildir %q: %w", maildir, ErrPlace)
}

// makeFolders makes what is missing of a Maildir and of the folders between
// the root and it, and makes that durable. It reports whether anything was missing.
func (s *Store) makeFolders(maildir string) (made bool, err error) {
	if s.root == "" {
		return false, nil
	}
	s.makers.Add(1)
	defer s.makers.Add(-1)
	s.folders.Lock()
	defer s.folders.Unlock()

	var fresh []string
	for _, dir := range s.wanted(maildir) {
		err := s.files.mkdir(dir)
		if err == nil {
			fresh = append(fresh, dir)
		} else if !errors.Is(err, fs.ErrExist) {
			s.unmake(fresh)
			return false, fmt.Errorf("make maildir: %w", err)
		}
	}
	synced := ""
	for _, dir := range fresh {
		parent := filepath.Dir(dir)
		if parent == synced {
			continue
		}
		if err := s.files.syncDir(parent); err != nil {
			s.unmake(fresh)
			return false, fmt.Errorf("make maildir: %w", err)
		}
		synced = parent
	}
	return len(fresh) > 0, nil
}

// unmake removes folders that could not be made durable, so that the next
// delivery does not take them for folders that are. One that is in use stays.
func (s *Store) unmake(fresh []string) {
	for _, dir := range slices.Backward(fresh) {
		s.files.unlink(dir)
	}
}

// wanted lists the folders of a Maildir from the root downwards.
func (s *Store) wanted(maildir string) []string {
	var dirs []string
	for dir := maildir; dir != s.root; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
	}
	slices.Reverse(dirs)
	for _, sub := range []string{"tmp", "new", "cur"} {
		dirs = append(dirs, filepath.Join(maildir, sub))
	}
	return dirs
}

// settle waits for folders that another delivery has made but may not have
// synced yet: mail in them is durable only then.
func (s *Store) settle() {
	if s.makers.Load() != 0 {
		s.folders.Lock()
		defer s.folders.Unlock()
	}
}
