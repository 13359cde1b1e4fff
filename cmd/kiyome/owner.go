package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"kiyome/cmd/kiyome/config"
)

// giveRulesToOwner gives compiled rules that root has made to whom the state
// folder belongs: the server runs as him and has to replace them. It does nothing
// for other users, and nothing where there are none.
//
// The folder may be in the hands of that owner meanwhile: links are not followed
// out of it, and a file that has other names is left alone.
func giveRulesToOwner(c *config.Config) error {
	if os.Geteuid() != 0 {
		return nil
	}
	state, err := os.OpenRoot(c.StateDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	defer state.Close()
	info, err := state.Stat(".")
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	err = fs.WalkDir(state.FS(), rulesName, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) || err == nil && !d.IsDir() && !d.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		f, err := state.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil // an old generation, removed meanwhile
		}
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		now := info.Sys().(*syscall.Stat_t)
		if now.Uid != 0 || !info.IsDir() && now.Nlink != 1 {
			return nil
		}
		return f.Chown(int(owner.Uid), int(owner.Gid))
	})
	if err != nil {
		return fmt.Errorf("give the rules to the owner of the state folder: %w", err)
	}
	return nil
}
