package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
)

// tmpPrefix begins the names of our files in tmp, and of nobody else's.
const tmpPrefix = "kiyome."

// hostMax bounds the escaped host name, so that no file name exceeds the 255 bytes
// that file systems allow.
const hostMax = 120

// unique gives a name that no other file has: the parts that the Maildir
// format suggests, and 64 random bits, for neither process number nor counter
// is new after a restart, nor the time after the clock was set back.
func (s *Store) unique() string {
	now := s.now()
	return fmt.Sprintf("%d.M%dP%dQ%dR%016x.%s", now.Unix(), now.Nanosecond()/1000,
		os.Getpid(), s.names.Add(1), rand.Uint64(), s.host)
}

// tmpName is a name for tmp.
func (s *Store) tmpName() string { return tmpPrefix + s.token + "." + s.unique() }

// newName is a name for new. Its sizes spare Dovecot reading the file, and
// must be exact: it drops the connection of a client when they are not.
func (s *Store) newName(c Content) string {
	return fmt.Sprintf("%s,S=%d,W=%d", s.unique(), c.Size(), c.VirtualSize())
}

// escapeHost makes a host name fit for a file name: "/" ends a name, ":"
// begins Maildir flags and "," begins Dovecot's sizes. The escape is the one that
// the Maildir format names: a backslash and three octal digits.
func escapeHost(host string) string {
	var b strings.Builder
	for _, c := range []byte(host) {
		escaped := string(c)
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		default:
			escaped = fmt.Sprintf(`\%03o`, c)
		}
		if b.Len()+len(escaped) > hostMax {
			break
		}
		b.WriteString(escaped)
	}
	if b.Len() == 0 {
		return "localhost"
	}
	return b.String()
}
