package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// peerKey is under which the context of a connection holds its peer.
type peerKey struct{}

// withPeer notes who is at the other end of a connection.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	peer, err := peerOf(c)
	if err != nil {
		return ctx // without a peer, nothing is allowed
	}
	return context.WithValue(ctx, peerKey{}, peer)
}

// peerOf asks the kernel who connected.
func peerOf(c net.Conn) (*unix.Ucred, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("not a Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return cred, errors.Join(err, credErr)
}

// allowed says whether peer may give orders: root, our own user, the members of group.
func allowed(peer *unix.Ucred, group string) error {
	if peer.Uid == 0 || int(peer.Uid) == os.Geteuid() {
		return nil
	}
	if group != "" && member(peer, group) {
		return nil
	}
	return fmt.Errorf("user %s: %w", userName(peer.Uid), ErrDenied)
}

// member says whether peer is in group, by its own group or by the group database.
func member(peer *unix.Ucred, group string) bool {
	g, err := user.LookupGroup(group)
	if err != nil {
		return false
	}
	if strconv.FormatUint(uint64(peer.Gid), 10) == g.Gid {
		return true
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(peer.Uid), 10))
	if err != nil {
		return false
	}
	ids, err := u.GroupIds()
	return err == nil && slices.Contains(ids, g.Gid)
}

// userName is how the ledger names a user.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}

// UserName names the user who runs this process, as the ledger does.
func UserName() string { return userName(uint32(os.Geteuid())) }
