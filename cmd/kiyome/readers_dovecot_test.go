package main_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// byDovecot reads messages as IMAP has them: their structure, and the parts.
func byDovecot(t *testing.T, all []letter, see func(int, []byte)) {
	h := newHouse(t)
	h.startDovecot()
	const box, maildir = "hanako@example.jp", "mail/example.jp/hanako/Maildir"
	for _, folder := range []string{"mail/example.jp", "mail/example.jp/hanako", maildir, maildir + "/cur", maildir + "/new", maildir + "/tmp"} {
		h.folder(folder, 0o700, true)
	}
	for n, l := range all {
		name := fmt.Sprintf("1200000000.M%06dP1.mx", n)
		if err := os.WriteFile(filepath.Join(h.Dir, maildir, "new", name), l.raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h.parts(t, box, func(n int, raw string, files [][]byte) {
		if raw != wired(string(all[n].raw)) {
			t.Fatalf("%v: not the message that was put in the mailbox: %.600q", all[n].of, raw)
		}
		for _, file := range files {
			see(n, file)
		}
	})
}

// wired gives a message as IMAP has it: with its line ends, and without NULs, for
// which Dovecot puts 0x80.
func wired(raw string) string {
	return strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n", "\x00", "\x80").Replace(raw)
}

// parts reads a mailbox part by part, and tells what every message holds: whole,
// and the parts decoded.
func (h *house) parts(t *testing.T, box string, see func(n int, raw string, files [][]byte)) {
	t.Helper()
	r := h.inbox(t, box)
	defer r.conn.Close()
	for n, items := range r.fetch("1:*", "BODYSTRUCTURE") {
		structure, _ := items["BODYSTRUCTURE"].([]any)
		leaves := leavesOf(structure, "")
		raw := r.fetch(fmt.Sprint(n+1), "BODY.PEEK[]")[0]["BODY[]"].(string)
		var files [][]byte
		for some := range slices.Chunk(leaves, 200) { // a command has a limit of its own
			var wanted []string
			for _, l := range some {
				wanted = append(wanted, "BODY.PEEK["+l.section+"]")
			}
			got := r.fetch(fmt.Sprint(n+1), strings.Join(wanted, " "))[0]
			for _, l := range some {
				body, _ := got["BODY["+l.section+"]"].(string)
				files = append(files, l.decode(body)...)
			}
		}
		see(n, raw, files)
	}
}

// section is a leaf of a BODYSTRUCTURE.
type section struct{ section, encoding string }

// leavesOf lists the leaves of a structure (RFC 3501, section 7.4.2). An attached
// message is one, and its parts are others.
func leavesOf(s []any, at string) []section {
	if len(s) == 0 {
		return nil
	}
	if _, multipart := s[0].([]any); multipart {
		var all []section
		for i, child := range s {
			if child, ok := child.([]any); ok && i < childrenOf(s) {
				all = append(all, leavesOf(child, below(at, i+1))...)
			}
		}
		return all
	}
	if at == "" || strings.HasSuffix(at, ".") {
		at += "1" // RFC 3501, section 6.4.5: the part of what has no parts
	}
	encoding, _ := s[5].(string)
	all := []section{{at, encoding}}
	if kind := fmt.Sprint(s[0], "/", s[1]); strings.EqualFold(kind, "message/rfc822") && len(s) > 8 {
		message, _ := s[8].([]any)
		all = append(all, leavesOf(message, at+".")...)
	}
	return all
}

// childrenOf counts the lists that a multipart begins with.
func childrenOf(s []any) int {
	n := slices.IndexFunc(s, func(v any) bool { _, list := v.([]any); return !list })
	if n < 0 {
		return len(s)
	}
	return n
}

// below is the section of a part of the multipart at a section.
func below(at string, n int) string {
	if at == "" || strings.HasSuffix(at, ".") {
		return fmt.Sprint(at, n)
	}
	return fmt.Sprint(at, ".", n)
}

// decode gives what mail programs make of a part. All are lenient: they take what
// there is, and do not agree on what comes behind a padding.
func (s section) decode(body string) [][]byte {
	switch strings.ToLower(s.encoding) {
	case "base64":
		return [][]byte{unbase64(strings.Split(letters64(body), "=")), unbase64([]string{strings.ReplaceAll(letters64(body), "=", "")})}
	case "quoted-printable":
		file, _ := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
		return [][]byte{file}
	case "x-uuencode", "uuencode", "x-uue", "uue":
		return [][]byte{unuu(body)}
	}
	return [][]byte{[]byte(body)}
}

// letters64 leaves of a text what base64 knows.
func letters64(text string) string {
	return strings.Map(func(c rune) rune {
		if c > 0x7f || !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=", c) {
			return -1
		}
		return c
	}, text)
}

// unbase64 decodes pieces one by one.
func unbase64(pieces []string) []byte {
	var b bytes.Buffer
	for _, p := range pieces {
		if len(p)%4 == 1 {
			p = p[:len(p)-1]
		}
		file, _ := base64.RawStdEncoding.DecodeString(p) // fails for other letters only
		b.Write(file)
	}
	return b.Bytes()
}

// uuLetters are the digits of uuencode.
var uuLetters = base64.NewEncoding("`!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_").WithPadding(base64.NoPadding)

// unuu decodes the lines of a uuencoded text that are long enough for what they tell.
func unuu(text string) []byte {
	var b bytes.Buffer
	for line := range strings.Lines(text) {
		line = strings.ReplaceAll(strings.TrimRight(line, "\r\n"), " ", "`")
		if line == "" || line[0] < '`'-63 {
			continue
		}
		n := int(line[0]-' ') & 63
		data, _ := uuLetters.DecodeString(line[1:min(len(line), 1+(n+2)/3*4)]) // what there is of a bad line
		b.Write(data[:min(n, len(data))])
	}
	return b.Bytes()
}
