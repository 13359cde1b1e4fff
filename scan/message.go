package scan

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"kiyome/scan/mime"
)

// Spools are where messages are taken in: a folder, and memory that they share.
type Spools struct {
	dir  string
	room int64
	used atomic.Int64
}

// NewSpools makes spools with room bytes of memory in all; what has no place in it goes
// to unlinked files in dir.
func NewSpools(dir string, room int64) *Spools { return &Spools{dir: dir, room: room} }

// take asks for n bytes of memory.
func (s *Spools) take(n int64) bool {
	if s.used.Add(n) <= s.room {
		return true
	}
	s.used.Add(-n)
	return false
}

// Spool takes one message in. A small one lies in memory of the process, a larger one in
// memory behind a descriptor, and a large one, or one for which there is no room, in an
// unlinked file.
type Spool struct {
	place
	size int64
}

// place is where the bytes of a message lie.
type place struct {
	spools *Spools
	memory []byte   // all of them, when it is small
	file   *os.File // all of them, when it is not
	taken  int64    // of the room; 0: file is on disk
}

// Close gives the bytes back; nobody uses them any more.
func (p *place) Close() error {
	p.spools.used.Add(-p.taken)
	p.taken, p.memory = 0, nil
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}

const (
	spoolSmall  = 32 << 10  // bytes up to which a message is small
	spoolMemory = 8 << 20   // bytes up to which a message lies in memory
	spoolStep   = 512 << 10 // bytes of room that are asked for at a time
	spoolFirst  = 8 << 10   // bytes that a message gets at first; when they are full, twice as many
)

// New starts a spool.
func (s *Spools) New() *Spool { return &Spool{place: place{spools: s}} }

// NewSpool starts a spool by itself. What is larger than 8 MiB goes to an unlinked file in dir.
func NewSpool(dir string) *Spool { return NewSpools(dir, spoolMemory).New() }

// Write adds bytes to the message.
func (s *Spool) Write(b []byte) (n int, err error) {
	need := s.size + int64(len(b))
	if err := s.provide(need); err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	if s.file == nil {
		s.memory, n = append(s.memory, b...), len(b)
	} else if n, err = s.file.Write(b); err != nil {
		err = fmt.Errorf("spool: %w", err)
	}
	s.size += int64(n)
	return n, err
}

// provide finds a place for a message of need bytes.
func (s *Spool) provide(need int64) error {
	if s.file == nil && need <= spoolSmall {
		if need > int64(cap(s.memory)) {
			larger := make([]byte, s.size, max(need, 2*int64(cap(s.memory)), spoolFirst))
			copy(larger, s.memory)
			s.memory = larger
		}
		return nil
	}
	if s.file != nil && (s.taken == 0 || need <= s.taken) {
		return nil
	}
	more := (need - s.taken + spoolStep - 1) / spoolStep * spoolStep
	switch {
	case need > spoolMemory || !s.spools.take(more):
		f, err := Unlinked(s.spools.dir)
		return s.move(f, 0, err)
	case s.file == nil:
		f, err := memfd()
		return s.move(f, more, err)
	}
	s.taken += more
	return nil
}

// move brings what there is into another file, for which room was taken.
func (s *Spool) move(to *os.File, taken int64, err error) error {
	if err == nil {
		if s.file != nil {
			err = sendfile(int(to.Fd()), int(s.file.Fd()), 0, s.size)
		} else {
			_, err = to.Write(s.memory)
		}
		if err != nil {
			to.Close()
		}
	}
	if err != nil {
		s.spools.used.Add(-taken)
		return err
	}
	s.Close()
	s.file, s.taken = to, taken
	return nil
}

// Size is how many bytes have been written.
func (s *Spool) Size() int64 { return s.size }

// Message ends the spool and gives the message, which now owns the bytes. bareLF is what a
// LineCounter makes of them. On an error the spool is closed.
func (s *Spool) Message(bareLF int64) (*Message, error) {
	m := &Message{place: s.place, size: s.size, bareLF: bareLF}
	var err error
	switch {
	case s.file == nil:
	case s.taken > 0:
		err = seal(s.file)
	default:
		// The worker must not be able to write: it gets a descriptor opened for reading.
		m.file, err = os.Open(fmt.Sprintf("/proc/self/fd/%d", s.file.Fd()))
		s.file.Close()
	}
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	return m, nil
}

// Message is a message as it came, in bytes that nobody changes any more. It is safe
// for concurrent use, but for Close.
type Message struct {
	place
	size    int64
	bareLF  int64
	opening sync.Mutex // place.file, which of a small message is a sealed copy, once File was called
	digest  struct {
		once sync.Once
		sum  [sha256.Size]byte
		err  error
	}
}

// NewMessage makes a message of bytes: for tests and commands.
func NewMessage(raw []byte) (*Message, error) {
	s := NewSpool(os.TempDir())
	if _, err := s.Write(raw); err != nil {
		s.Close()
		return nil, err
	}
	var count LineCounter
	count.Write(raw)
	return s.Message(count.BareLF)
}

// LineCounter counts the line feeds written to it that have no carriage return before
// them.
type LineCounter struct {
	BareLF int64
	cr     bool // the last byte was one
}

// Write implements io.Writer. It never fails.
func (c *LineCounter) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.BareLF += int64(bytes.Count(b, []byte("\n")) - bytes.Count(b, []byte("\r\n")))
	if c.cr && b[0] == '\n' {
		c.BareLF--
	}
	c.cr = b[len(b)-1] == '\r'
	return len(b), nil
}

// File gives the bytes behind a descriptor that cannot be written to: for a process that
// maps it. It stays the message's.
func (m *Message) File() (*os.File, error) {
	m.opening.Lock()
	defer m.opening.Unlock()
	if m.file != nil {
		return m.file, nil
	}
	f, err := memfd()
	if err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	if _, err = f.Write(m.memory); err == nil {
		err = seal(f)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("message: %w", err)
	}
	m.file = f
	return f, nil
}

// memfd makes a file in memory.
func memfd() (*os.File, error) {
	fd, err := unix.MemfdCreate("message", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), "message"), nil
}

// seal sees to it that nobody can change a file in memory.
func seal(f *os.File) error {
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals)
	return os.NewSyscallError("seal", err)
}

// Map gives the bytes for reading, until release is called.
func (m *Message) Map() (data []byte, release func(), err error) {
	if m.small() {
		return m.memory, func() {}, nil
	}
	return Map(m.file, m.size)
}

// Size is the length in bytes.
func (m *Message) Size() int64 { return m.size }

// BareLF is the number of line feeds that have no carriage return before them.
func (m *Message) BareLF() int64 { return m.bareLF }

// small reports whether the bytes lie in memory of the process.
func (m *Message) small() bool { return int64(len(m.memory)) == m.size }

// ReadAt implements io.ReaderAt.
func (m *Message) ReadAt(b []byte, off int64) (int, error) {
	if m.small() {
		return bytes.NewReader(m.memory).ReadAt(b, off)
	}
	return m.file.ReadAt(b, off)
}

// Digest is the SHA-256 of the bytes, computed when it is first asked for.
func (m *Message) Digest() ([sha256.Size]byte, error) {
	m.digest.once.Do(func() {
		h := sha256.New()
		_, m.digest.err = io.Copy(h, io.NewSectionReader(m, 0, m.size))
		h.Sum(m.digest.sum[:0])
	})
	return m.digest.sum, m.digest.err
}

// WriteRange writes the bytes of [start, end) to w; to a file, those of a message that is
// not small within the kernel.
func (m *Message) WriteRange(w io.Writer, start, end int64) error {
	if end > m.size {
		return io.ErrUnexpectedEOF
	}
	if m.small() {
		_, err := w.Write(m.memory[start:end])
		return err
	}
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		return sendfile(int(f.Fd()), int(m.file.Fd()), start, end-start)
	}
	n, err := io.Copy(w, io.NewSectionReader(m.file, start, end-start))
	if err == nil && n != end-start {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Keep gives the ranges of a message of size bytes that a cut leaves: ascending,
// none of them empty. cut is as in a Verdict, ascending and disjoint; of one that
// is not, what is out of order or out of bounds is not kept, so that nothing
// that was to be cut is ever left in.
func Keep(size int64, cut []mime.Range) []mime.Range {
	var keep []mime.Range
	at := 0
	for _, c := range cut {
		if c.Start > at {
			keep = append(keep, mime.Range{Start: at, End: min(c.Start, int(size))})
		}
		at = max(at, c.End)
	}
	if at < int(size) {
		keep = append(keep, mime.Range{Start: at, End: int(size)})
	}
	return keep
}

// Piece is a run of the message that a Notice makes: one of its fields is set.
type Piece struct {
	Keep   mime.Range // bytes of the original
	Text   string     // bytes as they stand here
	Notice bool       // the notice as NoticePart gives it
}

// Pieces yields what the message of size bytes becomes, from its beginning to its
// end. The plan is to be as Notice says; of one that is not, nothing that was to be cut
// is ever left in.
func (n *Notice) Pieces(size int64) iter.Seq[Piece] {
	return func(yield func(Piece) bool) {
		inserts := n.Insert
		until := func(end int) bool {
			for len(inserts) > 0 && inserts[0].At <= end {
				if !inserts[0].pieces(yield) {
					return false
				}
				inserts = inserts[1:]
			}
			return true
		}
		for _, k := range Keep(size, n.Cut) {
			for len(inserts) > 0 && inserts[0].At < k.End {
				at := max(inserts[0].At, k.Start)
				if at > k.Start && !yield(Piece{Keep: mime.Range{Start: k.Start, End: at}}) || !until(at) {
					return
				}
				k.Start = at
			}
			if !yield(Piece{Keep: k}) {
				return
			}
		}
		until(math.MaxInt)
	}
}

// pieces yields what is inserted. It reports whether to go on.
func (in Insert) pieces(yield func(Piece) bool) bool {
	for _, p := range []Piece{{Text: in.Text}, {Notice: in.Part}, {Text: in.Rest}} {
		if p != (Piece{}) && !yield(p) {
			return false
		}
	}
	return true
}

// WriteNotice writes the message that n makes, with part as the notice, and gives how
// many bytes that took; to a file, its ranges within the kernel.
func (m *Message) WriteNotice(w io.Writer, n *Notice, part []byte) (written int64, err error) {
	for p := range n.Pieces(m.size) {
		k := 0
		switch {
		case p.Notice:
			k, err = w.Write(part)
		case p.Text != "":
			k, err = io.WriteString(w, p.Text)
		default:
			k, err = p.Keep.End-p.Keep.Start, m.WriteRange(w, int64(p.Keep.Start), int64(p.Keep.End))
		}
		if err != nil {
			return written, err
		}
		written += int64(k)
	}
	return written, nil
}

// reader reads the message that n makes of raw, with part as the notice.
func (n *Notice) reader(raw, part []byte) io.Reader {
	var readers []io.Reader
	for p := range n.Pieces(int64(len(raw))) {
		switch {
		case p.Notice:
			readers = append(readers, bytes.NewReader(part))
		case p.Text != "":
			readers = append(readers, strings.NewReader(p.Text))
		default:
			readers = append(readers, bytes.NewReader(raw[p.Keep.Start:p.Keep.End]))
		}
	}
	return io.MultiReader(readers...)
}

// sendfile copies n bytes of src from off to the end of dst.
func sendfile(dst, src int, off, n int64) error {
	for n > 0 {
		k, err := unix.Sendfile(dst, src, &off, int(min(n, 1<<30)))
		switch {
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
		case err != nil:
			return os.NewSyscallError("sendfile", err)
		case k == 0:
			return io.ErrUnexpectedEOF
		}
		n -= int64(max(k, 0))
	}
	return nil
}
