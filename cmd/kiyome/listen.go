package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"kiyome/cmd/kiyome/config"
)

// sockets are where mail comes in, for both directions, and members, and where the server
// is watched.
type sockets struct{ inbound, outbound, page, monitor []net.Listener }

// socketNames are the names under which systemd passes them.
var socketNames = []string{"inbound", "outbound", "page", "monitor"}

// all gives every one of them.
func (s sockets) all() []net.Listener { return slices.Concat(s.inbound, s.outbound, s.page, s.monitor) }

// passedSockets gives the sockets that systemd passes under the names "inbound",
// "outbound", "page" and "monitor". To be called before any child is started: it keeps them ours.
func passedSockets() (sockets, error) {
	passed, err := activation.ListenersWithNames()
	if err != nil {
		return sockets{}, fmt.Errorf("sockets from systemd: %w", err)
	}
	s := sockets{passed["inbound"], passed["outbound"], passed["page"], passed["monitor"]}
	for name, all := range passed {
		if !slices.Contains(socketNames, name) {
			closeAll(slices.Concat(all, s.all()))
			return sockets{}, fmt.Errorf("systemd passes a socket under the name %q: FileDescriptorName= has to be one of %s", name, strings.Join(socketNames, ", "))
		}
	}
	return s, nil
}

// openSockets opens the sockets that the configuration names, where none were passed.
func openSockets(c *config.Config, s sockets) (sockets, error) {
	mode, err := config.ParseMode(c.Inbound.SocketMode)
	if err != nil {
		return s, err
	}
	if len(s.inbound) == 0 {
		if s.inbound, err = listenAll(c.Inbound.Listen, mode); err != nil {
			return s, fmt.Errorf("inbound.listen: %w", err)
		}
	}
	if len(s.outbound) == 0 {
		if s.outbound, err = listenAll(c.Outbound.Listen, mode); err != nil {
			closeAll(s.inbound)
			return s, fmt.Errorf("outbound.listen: %w", err)
		}
	}
	if len(s.inbound)+len(s.outbound) == 0 {
		return s, errors.New("inbound.listen and outbound.listen are empty, and systemd passes no socket: nothing to serve")
	}
	if s.page, err = openWeb("page", c.Page.Listen, c.Page.Public, s.page, mode); err == nil {
		s.monitor, err = openWeb("monitor", c.Monitor.Listen, c.Monitor.Public, s.monitor, mode)
	}
	if err != nil {
		closeAll(s.all())
	}
	return s, err
}

// openWeb opens sockets for HTTP, where none were passed. Those that were may
// be reached from elsewhere only if that is wanted, like those that the configuration names.
func openWeb(name string, addresses []string, public bool, passed []net.Listener, mode os.FileMode) ([]net.Listener, error) {
	if len(passed) == 0 {
		all, err := listenAll(addresses, mode)
		if err != nil {
			err = fmt.Errorf("%s.listen: %w", name, err)
		}
		return all, err
	}
	for _, l := range passed {
		if address := addressText(l.Addr()); !public && !config.IsLocal(address) {
			return passed, fmt.Errorf("%s.listen: the socket %s that systemd passes can be reached by other machines, without TLS: give ListenStream= an address of 127.0.0.1, or say %s.public = true", name, address, name)
		}
	}
	return passed, nil
}

func listenAll(addresses []string, mode os.FileMode) ([]net.Listener, error) {
	var all []net.Listener
	for _, address := range addresses {
		l, err := listen(address, mode)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all = append(all, l)
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
