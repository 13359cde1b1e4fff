package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"kiyome/cmd/kiyome/config"
)

// passedListeners gives the sockets for inbound mail that systemd passes under the
// name "inbound". To be called before any child is started: it keeps them ours.
func passedListeners() ([]net.Listener, error) {
	passed, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("sockets from systemd: %w", err)
	}
	return passed["inbound"], nil
}

// openListeners opens the sockets for inbound mail that the configuration names.
func openListeners(c *config.Config) ([]net.Listener, error) {
	mode, err := config.ParseMode(c.Inbound.SocketMode)
	if err != nil {
		return nil, err
	}
	var all []net.Listener
	for _, address := range c.Inbound.Listen {
		l, err := listen(address, mode)
		if err != nil {
			closeAll(all)
			return nil, fmt.Errorf("inbound.listen: %w", err)
		}
		all = append(all, l)
	}
	if len(all) == 0 {
		return nil, errors.New("inbound.listen is empty, and systemd passes no socket: nothing to serve")
	}
	return all, nil
}

// closeAll gives sockets back that will not be served.
func closeAll(all []net.Listener) {
	for _, l := range all {
		l.Close()
	}
}

// listen opens one socket: host:port or unix:PATH.
func listen(address string, mode os.FileMode) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, "unix:")
	if !isUnix {
		return net.Listen("tcp", address)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// removeStale removes a socket that a killed server left. One that somebody
// answers, and what is no socket, stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return fmt.Errorf("%s is in use by another server", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
