package main_test

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"kiyome/testdata"
)

// writeLarge writes a message with an attachment of n bytes which end in the test
// virus; zipped, it is a member of that size. Lines need no dots doubled.
func writeLarge(w io.Writer, n int64, zipped bool) error {
	out := bufio.NewWriterSize(w, 1<<20)
	out.WriteString("From: a@example.com\r\nSubject: large\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=outer\r\n\r\n" +
		"--outer\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n" +
		"--outer\r\nContent-Type: application/octet-stream; name=\"large.bin\"\r\nContent-Disposition: attachment; filename=\"large.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	lines := &lineWriter{w: out}
	encoded := base64.NewEncoder(base64.StdEncoding, lines)
	err := writeFile(encoded, n, zipped)
	err = errors.Join(err, encoded.Close())
	out.WriteString("\r\n--outer--\r\n")
	return errors.Join(err, out.Flush())
}

// writeFile writes n bytes that end in the test virus, perhaps as the member of a zip.
func writeFile(w io.Writer, n int64, zipped bool) error {
	if zipped {
		z := zip.NewWriter(w)
		z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
		member, err := z.Create("large.exe")
		if err != nil {
			return err
		}
		return errors.Join(writeFile(member, n, false), z.Close())
	}
	virus := testdata.EICAR()
	if _, err := io.CopyN(w, newRecords(), n-int64(len(virus))); err != nil {
		return err
	}
	_, err := w.Write(virus)
	return err
}

// records gives bytes without end: a block of noise and its number, again and again.
type records struct {
	noise  [64 << 10]byte
	number uint64
	left   []byte
}

func newRecords() *records {
	r := &records{}
	rand.NewChaCha8([32]byte{}).Read(r.noise[:])
	return r
}

func (r *records) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		r.number++
		binary.LittleEndian.PutUint64(r.noise[:], r.number)
		r.left = r.noise[:]
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// lineWriter breaks text into lines of 76 characters.
type lineWriter struct {
	w  io.Writer
	at int
}

func (l *lineWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		k := min(76-l.at, len(rest))
		if _, err := l.w.Write(rest[:k]); err != nil {
			return 0, err
		}
		rest = rest[k:]
		if l.at += k; l.at == 76 {
			if _, err := io.WriteString(l.w, "\r\n"); err != nil {
				return 0, err
			}
			l.at = 0
		}
	}
	return len(p), nil
}

// TestLargeMembers has a member of 300 MB that is infected in its last bytes.
func TestLargeMembers(t *testing.T) {
	if testing.Short() {
		t.Skip("scans 300 MB")
	}
	s := newSite(t)
	s.account("add", "taro@example.jp")
	s.account("subscribe", "taro@example.jp")
	s.start()
	c := s.dial()
	for _, command := range []string{"MAIL FROM:<a@example.com>", "RCPT TO:<taro@example.jp>", "DATA"} {
		c.say(command)
	}
	if err := writeLarge(c.conn, 300_000_000, true); err != nil {
		t.Fatal(err)
	}
	if reply := c.say("."); !strings.HasPrefix(reply, "250 ") {
		t.Fatal(reply)
	}
	if got := s.maildir("taro"); len(got) != 2 || !strings.Contains(got[1], "X-Virus-Status: Cleaned") {
		t.Errorf("%d messages arrive: %.2000q", len(got), got)
	}
}
