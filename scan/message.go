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

	"golang.org/x/sys/unix"

	"kiyome/scan/mime"
)

// Spool takes a message in. Small messages lie in memory (a sealed memfd), large
// ones in an unlinked file.
type Spool struct {
	dir    string
	limit  int64
	file   *os.File
	size   int64
	bareLF int64
	lastCR bool
	onDisk bool
}

// spoolMemory is the size in bytes up to which a message stays in memory.
// With 64 sessions that is 64 MiB at the most.
const spoolMemory = 1 << 20

// NewSpool starts a spool. Messages larger than 1 MiB go to an unlinked file in dir.
func NewSpool(dir string) (*Spool, error) {
	fd, err := unix.MemfdCreate("message", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return &Spool{dir: dir, limit: spoolMemory, file: os.NewFile(uintptr(fd), "message")}, nil
}

// Write adds bytes to the message.
func (s *Spool) Write(b []byte) (int, error) {
	if !s.onDisk && s.size+int64(len(b)) > s.limit {
		if err := s.toDisk(); err != nil {
			return 0, err
		}
	}
	n, err := s.file.Write(b)
	s.countBareLF(b[:n])
	s.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("spool: %w", err)
	}
	return n, nil
}

// Size is how many bytes have been written.
func (s *Spool) Size() int64 { return s.size }

// Close drops a message that was not finished.
func (s *Spool) Close() error { return s.file.Close() }

// countBareLF counts the line feeds in b without a carriage return before them.
func (s *Spool) countBareLF(b []byte) {
	for at := 0; at < len(b); {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			break
		}
		at += i
		if at == 0 && !s.lastCR || at > 0 && b[at-1] != '\r' {
			s.bareLF++
		}
		at++
	}
	if len(b) > 0 {
		s.lastCR = b[len(b)-1] == '\r'
	}
}

// toDisk moves what there is into an unlinked file.
func (s *Spool) toDisk() error {
	disk, err := Unlinked(s.dir)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := sendfile(disk, s.file, 0, s.size); err != nil {
		disk.Close()
		return fmt.Errorf("spool: %w", err)
	}
	s.file.Close()
	s.file, s.onDisk = disk, true
	return nil
}

// Message ends the spool and gives the message, which now owns the bytes. On an
// error the spool is closed.
func (s *Spool) Message() (*Message, error) {
	m := &Message{file: s.file, size: s.size, bareLF: s.bareLF}
	if s.onDisk {
		// The worker must not be able to write: it gets a descriptor opened for reading.
		f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", s.file.Fd()))
		if err != nil {
			s.file.Close()
			return nil, fmt.Errorf("spool: %w", err)
		}
		s.file.Close()
		m.file = f
		return m, nil
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(s.file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		s.file.Close()
		return nil, fmt.Errorf("spool: seal: %w", err)
	}
	return m, nil
}

// Message is a message as it came: bytes behind a descriptor that nobody can
// write to. It is safe for concurrent use.
type Message struct {
	file   *os.File
	size   int64
	bareLF int64
	digest struct {
		once sync.Once
		sum  [sha256.Size]byte
		err  error
	}
}

// NewMessage makes a message of bytes: for tests and commands.
func NewMessage(raw []byte) (*Message, error) {
	s, err := NewSpool(os.TempDir())
	if err != nil {
		return nil, err
	}
	if _, err := s.Write(raw); err != nil {
		s.Close()
		return nil, err
	}
	return s.Message()
}

// File is the descriptor: for a process that maps it. It stays the message's.
func (m *Message) File() *os.File { return m.file }

// Size is the length in bytes.
func (m *Message) Size() int64 { return m.size }

// BareLF is the number of line feeds that have no carriage return before them.
func (m *Message) BareLF() int64 { return m.bareLF }

// ReadAt implements io.ReaderAt.
func (m *Message) ReadAt(b []byte, off int64) (int, error) { return m.file.ReadAt(b, off) }

// Digest is the SHA-256 of the bytes, computed when it is first asked for.
func (m *Message) Digest() ([sha256.Size]byte, error) {
	m.digest.once.Do(func() {
		h := sha256.New()
		_, m.digest.err = io.Copy(h, io.NewSectionReader(m.file, 0, m.size))
		h.Sum(m.digest.sum[:0])
	})
	return m.digest.sum, m.digest.err
}

// WriteRange writes the bytes of [start, end) to w; within the kernel when w is a file.
func (m *Message) WriteRange(w io.Writer, start, end int64) error {
	if f, ok := w.(*os.File); ok {
		return sendfile(f, m.file, start, end-start)
	}
	n, err := io.Copy(w, io.NewSectionReader(m.file, start, end-start))
	if err == nil && n != end-start {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Close gives the bytes back.
func (m *Message) Close() error { return m.file.Close() }

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
func sendfile(dst, src *os.File, off, n int64) error {
	for n > 0 {
		k, err := unix.Sendfile(int(dst.Fd()), int(src.Fd()), &off, int(min(n, 1<<30)))
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
