package lmtp

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"kiyome/scan"
)

// undot is what RFC 5321, section 4.5.2, says, byte by byte: it gives the message
// and what follows its end, and whether there was one.
func undot(in string) (msg, rest string, ok bool) {
	var out strings.Builder
	for {
		line, after, found := strings.Cut(in, "\r\n")
		switch {
		case found && line == ".":
			return out.String(), after, true
		case strings.HasPrefix(line, "."):
			out.WriteString(line[1:])
		default:
			out.WriteString(line)
		}
		if !found {
			return out.String(), "", false
		}
		out.WriteString("\r\n")
		in = after
	}
}

// takeAll feeds in to dots in pieces as a socket would, keeping what it leaves, and sees that
// the bare line feeds were counted.
func takeAll(t *testing.T, in string, piece func() int) (msg, rest string, ok bool) {
	var out bytes.Buffer
	d := dots{dst: &out, start: true}
	var buf []byte
	for {
		n := min(max(piece(), 1), len(in))
		buf = append(buf, in[:n]...)
		in = in[n:]
		used, end := d.take(buf)
		buf = buf[used:]
		if end {
			var count scan.LineCounter
			count.Write(out.Bytes())
			if count.BareLF != d.bareLF {
				t.Errorf("%q: %d bare line feeds, want %d", out.String(), d.bareLF, count.BareLF)
			}
			return out.String(), string(buf) + in, true
		}
		if in == "" {
			return out.String() + string(buf), "", false
		}
	}
}

var endings = []struct{ name, in, msg, rest string }{
	{"empty message", ".\r\n", "", ""},
	{"one line", "a\r\n.\r\n", "a\r\n", ""},
	{"stuffed dot", "..a\r\n.\r\n", ".a\r\n", ""},
	{"two stuffed dots", "...\r\n.\r\n", "..\r\n", ""},
	{"dot and text without stuffing", ".a\r\n.\r\n", "a\r\n", ""},
	{"CR before the end", "a\r\r\n.\r\n", "a\r\r\n", ""},
	{"CR before a stuffed dot", "a\r\r\n..b\r\n.\r\n", "a\r\r\n.b\r\n", ""},
	{"NUL and 8-bit", "\x00\xff\r\n.\r\n", "\x00\xff\r\n", ""},
	{"commands behind", "a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n"},
	{"LF.LF", "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", ""},
	{"LF.CRLF", "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", ""},
	{"CRLF.LF", "a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", ""},
	{"CR.CR", "a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", ""},
	{"CRLF.CR", "a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", ""},
	{"CR.CRLF", "a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", ""},
	{"LF.CR", "a\n.\rb\r\n.\r\n", "a\n.\rb\r\n", ""},
	{"CRLF.CRCRLF", "a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\r\nb\r\n", ""},
	{"CRLF. NUL CRLF", "a\r\n.\x00\r\nb\r\n.\r\n", "a\r\n\x00\r\nb\r\n", ""},
	{"CRLF SP.CRLF", "a\r\n .\r\nb\r\n.\r\n", "a\r\n .\r\nb\r\n", ""},
	{"LFCR.LFCR", "a\n\r.\n\rb\r\n.\r\n", "a\n\r.\n\rb\r\n", ""},
	{"dot dot CRLF is text", "a\r\n..\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", ""},
}

func TestOnlyCRLFDotCRLFEndsAMessage(t *testing.T) {
	for _, tt := range endings {
		t.Run(tt.name, func(t *testing.T) {
			for size := 1; size <= len(tt.in); size++ {
				msg, rest, ok := takeAll(t, tt.in, func() int { return size })
				if !ok || msg != tt.msg || rest != tt.rest {
					t.Fatalf("in pieces of %d: %q, %q, %v; want %q, %q", size, msg, rest, ok, tt.msg, tt.rest)
				}
			}
		})
	}
}

func TestAFailingSpoolStillSeesTheEnd(t *testing.T) {
	d := dots{dst: failing{}, start: true}
	n, end := d.take([]byte("a\r\nb\r\n.\r\nQUIT\r\n"))
	if !end || n != len("a\r\nb\r\n.\r\n") || !errors.Is(d.err, io.ErrShortWrite) {
		t.Errorf("take = %d, %v, err %v", n, end, d.err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func FuzzData(f *testing.F) {
	for _, tt := range endings {
		f.Add(tt.in, uint64(1))
	}
	f.Fuzz(func(t *testing.T, in string, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		msg, rest, ok := takeAll(t, in, func() int { return r.IntN(9) })
		wmsg, wrest, wok := undot(in)
		if ok != wok || ok && (msg != wmsg || rest != wrest) {
			t.Errorf("%q: got %q, %q, %v; want %q, %q, %v", in, msg, rest, ok, wmsg, wrest, wok)
		}
	})
}
