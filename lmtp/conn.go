package lmtp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/sys/unix"

	"kiyome/lmtp/relay"
)

const (
	maxCommand  = 8 << 10         // bytes of a command line; RFC 5321, section 4.5.3.1.4, asks for 512 and what extensions add
	dataBuffer  = 64 << 10        // bytes read at once within a message
	writeLimit  = time.Minute     // for one reply to be taken
	lingerLimit = 5 * time.Second // for a client that said QUIT to have read its replies
)

var errTooManySessions = errors.New("too many sessions")

// listener counts connections and lays our layer under each.
type listener struct {
	net.Listener
	server *Server
	left   atomic.Int64 // since when it does not wait for a connection, in nanoseconds since 1970; 0: it waits
}

// Accept refuses with 421, and not with silence, what is over the limit.
func (l *listener) Accept() (net.Conn, error) {
	for {
		l.left.Store(0)
		nc, err := l.Listener.Accept()
		l.left.Store(time.Now().UnixNano())
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: nc, server: l.server, buf: make([]byte, maxCommand)}
		if err := l.server.register(c); err != nil {
			nc.SetWriteDeadline(time.Now().Add(time.Second))
			io.WriteString(nc, l.server.replies.line(err))
			nc.Close()
			continue
		}
		return c, nil
	}
}

func (s *Server) register(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return errShutdown
	case len(s.conns) >= s.Sessions:
		s.counters.turnedAway.Add(1)
		return errTooManySessions
	}
	s.conns[c] = struct{}{}
	s.open.Add(1)
	s.counters.connections.Add(1)
	return nil
}

func (s *Server) unregister(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.open.Done()
}

// conn is the connection as go-smtp sees it. It hands over one command line at a
// time, so that nothing behind it has been read when the message begins; from
// the 354 on it gives the bytes to the session (see readMessage), and go-smtp
// is then fed the lone dot that it still waits for.
type conn struct {
	net.Conn
	server *Server

	buf  []byte // of what came and was not handed on: buf[r:w]
	r, w int
	mode mode
	line bool     // the rest of a command line is still to be handed on
	lhlo [][]byte // the reply to LHLO, held back until it is whole
	more bool     // another command is in the buffer already: replies wait to go together
	out  []byte   // those replies
	last []byte   // verb of the command handed on last

	origin relay.Origin // what XFORWARD said of the message to come

	// Replies to recipients that the client has not been seen to know.
	unconfirmed *unconfirmed
	piped       int // bytes, not handed on yet, that came before those replies were due

	mu      sync.Mutex // of the two below
	waiting bool       // for a command
	closing bool       // the server shuts down

	closed atomic.Bool
}

// mode is who reads.
type mode int

const (
	commands mode = iota // go-smtp, line by line
	message              // the session, with readMessage
	dot                  // go-smtp, the end of the message
	broken               // nobody: the message ended in the middle
)

// Read hands go-smtp the next command line, or what is left of it.
func (c *conn) Read(b []byte) (int, error) {
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	switch c.mode {
	case message:
		return 0, errors.New("lmtp: the message is the session's to read")
	case dot:
		c.mode = commands
		return copy(b, ".\r\n"), nil
	case broken:
		return 0, io.ErrUnexpectedEOF
	}
	if !c.line {
		if err := c.nextCommand(); err != nil {
			return 0, err
		}
	}
	end := c.w
	if i := bytes.IndexByte(c.buf[c.r:c.w], '\n'); i >= 0 {
		end = c.r + i + 1
	}
	n := copy(b, c.buf[c.r:end])
	c.line = c.buf[c.r+n-1] != '\n'
	c.consume(n)
	c.more = c.hasLine()
	return n, nil
}

// nextCommand makes a whole command line stand at the head of the buffer that is
// for go-smtp.
func (c *conn) nextCommand() error {
	for {
		if err := c.nextLine(); err != nil {
			c.confirm(false)
			return err
		}
		if c.piped <= 0 {
			c.confirm(true)
		}
		switch c.last = bytes.ToUpper(firstWord(c.buf[c.r:c.w])); {
		case string(c.last) == "BDAT":
			// Its chunk follows unasked and must not be taken for commands.
			c.confirm(false)
			c.reply(errChunking)
			return io.EOF
		case string(c.last) == "XFORWARD" && c.server.Outbound != nil:
			if err := c.xforward(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// nextLine makes a whole line stand at the head of the buffer.
func (c *conn) nextLine() error {
	for !c.hasLine() {
		if c.w-c.r >= maxCommand {
			return smtp.ErrTooLongLine
		}
		if err := c.awaitCommand(); err != nil {
			return err
		}
	}
	return nil
}

// hasLine reports whether a whole line is in the buffer.
func (c *conn) hasLine() bool { return bytes.IndexByte(c.buf[c.r:c.w], '\n') >= 0 }

func firstWord(b []byte) []byte {
	b = b[:min(len(b), 16)]
	if i := bytes.IndexAny(b, " \t\r\n"); i >= 0 {
		b = b[:i]
	}
	return bytes.Clone(b)
}

func (c *conn) consume(n int) {
	c.r += n
	c.piped = max(c.piped-n, 0)
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
}

// awaitCommand reads more while a command is awaited, and before that sends what
// waits. It is the one place where a shutdown finds a client idle.
func (c *conn) awaitCommand() error {
	if err := c.flush(); err != nil {
		return err
	}
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		c.reply(errShutdown)
		return io.EOF
	}
	c.SetReadDeadline(time.Now().Add(c.server.IdleTimeout))
	c.waiting = true
	c.mu.Unlock()

	err := c.fill()

	c.mu.Lock()
	c.waiting = false
	closing := c.closing
	c.mu.Unlock()
	if closing && errors.Is(err, os.ErrDeadlineExceeded) {
		c.reply(errShutdown)
		return io.EOF
	}
	return err
}

// wake makes a client that is idle hear of the shutdown; others hear of it at their next command.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	if c.waiting {
		c.SetReadDeadline(time.Unix(1, 0))
	}
}

// fill reads once into the free end of the buffer.
func (c *conn) fill() error {
	if c.r > 0 && c.w == len(c.buf) {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	n, err := c.Conn.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// Write passes go-smtp's replies on. It is called with one line at a time. Replies
// to commands that came together go together (RFC 2920, section 3.2).
func (c *conn) Write(b []byte) (int, error) {
	switch {
	case string(c.last) == "LHLO" && len(b) > 3 && bytes.HasPrefix(b, []byte("250")):
		if c.lhlo = append(c.lhlo, bytes.Clone(b)); b[3] == ' ' {
			err := c.send(greeting(c.lhlo, c.server.Outbound != nil))
			c.lhlo = nil
			return len(b), err
		}
		return len(b), nil
	case bytes.HasPrefix(b, []byte("354")):
		c.mode, c.more = message, false
	}
	if c.more {
		c.out = append(c.out, b...)
		return len(b), nil
	}
	return len(b), c.send(b)
}

// flush sends the replies that wait.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	return c.send(nil)
}

// greeting leaves out of the reply to LHLO what we do not want to be asked for:
// CHUNKING, for go-smtp takes a chunk that a lost connection cut short for
// whole; SIZE, for it reads sizes as 32 bits and we have no limit to tell. The filter
// offers XFORWARD.
func greeting(lines [][]byte, filter bool) []byte {
	var kept [][]byte
	for _, l := range lines {
		switch string(bytes.ToUpper(firstWord(l[4:]))) {
		case "CHUNKING", "SIZE":
		default:
			l[3] = '-'
			kept = append(kept, l)
		}
	}
	if filter {
		kept = append(kept, []byte(xforwardOffer))
	}
	kept[len(kept)-1][3] = ' '
	return bytes.Join(kept, nil)
}

// reply sends a line of our own, which ends the connection.
func (c *conn) reply(err error) { c.send([]byte(c.server.replies.line(err))) }

// send sends what waits, and b behind it.
func (c *conn) send(b []byte) error {
	if len(c.out) > 0 {
		b = append(c.out, b...)
		c.out = c.out[:0]
	}
	c.SetWriteDeadline(time.Now().Add(writeLimit))
	_, err := c.Conn.Write(b)
	return err
}

// expectConfirmation keeps what was done until the client shows that it has heard
// of it. Called when the last reply is due: what came before that, in our
// buffer or still in the kernel's, says nothing about it.
func (c *conn) expectConfirmation(u *unconfirmed) {
	c.unconfirmed, c.piped = u, c.w-c.r
	_ = c.socket(func(fd int) error { // where it cannot be asked, the buffer tells what it can
		n, err := unix.IoctlGetInt(fd, unix.TIOCINQ) // also SIOCINQ, tcp(7)
		c.piped += n
		return err
	})
}

// confirm settles what the client may not have heard of.
func (c *conn) confirm(heard bool) {
	if c.unconfirmed != nil {
		c.unconfirmed.settle(heard)
		c.unconfirmed = nil
	}
}

// Close closes the connection. A client that sent QUIT along with its message
// has given no sign yet that it read the replies: it is given a moment to.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.flush() // QUIT may not be the last of what came together; its failure shows in what follows
	if c.unconfirmed == nil {
		defer c.server.unregister(c)
		return c.Conn.Close()
	}
	go func() {
		defer c.server.unregister(c)
		c.confirm(c.lastWordsRead())
		c.Conn.Close()
	}()
	return nil
}

// lastWordsRead reports whether the client read all that was sent and closed in order.
func (c *conn) lastWordsRead() bool {
	return c.drain() && c.socketError() == nil
}

// drain waits for the end of what the client sends.
func (c *conn) drain() bool {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); !ok || w.CloseWrite() != nil {
		return false
	}
	c.SetReadDeadline(time.Now().Add(lingerLimit))
	_, err := io.Copy(io.Discard, io.LimitReader(c.Conn, 1<<20))
	return err == nil
}

// socketError gives the error that the peer's kernel left on the socket: a
// client that had gone answers our last bytes with a reset.
func (c *conn) socketError() error {
	return c.socket(func(fd int) error {
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = syscall.Errno(code)
		}
		return err
	})
}

// socket asks the kernel something of the connection. One that is no socket has nothing to say.
func (c *conn) socket(ask func(fd int) error) error {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := raw.Control(func(fd uintptr) { err = ask(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}
