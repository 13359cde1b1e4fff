// Package testdata holds the messages that tests and the demonstration deliver.
//
// Nothing in it alarms a virus scanner: messages are templates, and the test
// virus is put together when one is read. testdata/mail/NAME.eml is a template in
// the sense of text/template with LF line ends; Mail gives it with CRLF.
package testdata

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"path"
	"strings"
	"text/template"

	"golang.org/x/text/encoding/japanese"
)

//go:embed mail
var files embed.FS

// EICAR is the standard test virus: harmless, and found by every scanner.
func EICAR() []byte {
	return []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$` + `EICAR-STANDARD-` + `ANTIVIRUS-TEST-FILE!$H+H*`)
}

// functions are what a message template can call.
var functions = template.FuncMap{
	"eicar":   func() string { return string(EICAR()) },
	"base64":  func(s string) string { return fold(base64.StdEncoding.EncodeToString([]byte(s)), 76) },
	"word":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"qp":      quoted,
	"uu":      Uuencode,
	"zip":     zipped,
	"tar":     tarred,
	"gzip":    gzipped,
	"sjis":    func(s string) (string, error) { return japanese.ShiftJIS.NewEncoder().String(s) },
	"jis":     func(s string) (string, error) { return japanese.ISO2022JP.NewEncoder().String(s) },
	"eucjp":   func(s string) (string, error) { return japanese.EUCJP.NewEncoder().String(s) },
	"percent": percent,
	"repeat":  func(n int, s string) string { return strings.Repeat(s, n) },
}

// Mail gives the message testdata/mail/NAME.eml as it would come over the wire.
func Mail(name string) ([]byte, error) {
	text, err := files.ReadFile(path.Join("mail", name+".eml"))
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Funcs(functions).Parse(string(text))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, nil); err != nil {
		return nil, fmt.Errorf("testdata/mail/%s.eml: %w", name, err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("\n"), []byte("\r\n")), nil
}

// MustMail is Mail for callers that know the name.
func MustMail(name string) []byte {
	m, err := Mail(name)
	if err != nil {
		panic(err)
	}
	return m
}

// Names lists the messages that there are.
func Names() []string {
	entries, err := files.ReadDir("mail")
	if err != nil {
		panic(err) // embedded: it is there
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".eml"))
	}
	return names
}

// fold breaks s into lines of n bytes.
func fold(s string, n int) string {
	var b strings.Builder
	for len(s) > n {
		b.WriteString(s[:n] + "\n")
		s = s[n:]
	}
	return b.String() + s
}

// percent gives s as RFC 2231 writes the value of an extended parameter.
func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '.' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func quoted(s string) (string, error) {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		return "", err
	}
	err := w.Close()
	return strings.ReplaceAll(b.String(), "\r\n", "\n"), err
}

// Uuencode gives content as the uuencode program of POSIX writes it, lines ended by LF.
func Uuencode(name, content string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "begin 644 %s\n", name)
	for rest := []byte(content); ; {
		n := min(len(rest), 45)
		b.WriteByte(uuByte(n))
		for i := 0; i < n; i += 3 {
			var g [3]byte
			copy(g[:], rest[i:n])
			for _, v := range []byte{g[0] >> 2, g[0]<<4&63 | g[1]>>4, g[1]<<2&63 | g[2]>>6, g[2] & 63} {
				b.WriteByte(uuByte(int(v)))
			}
		}
		b.WriteByte('\n')
		if rest = rest[n:]; n == 0 {
			return b.String() + "end"
		}
	}
}

func uuByte(v int) byte {
	if v == 0 {
		return '`'
	}
	return byte(v) + ' '
}

func zipped(name, content string) (string, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, NonUTF8: !validName(name)})
	if err != nil {
		return "", err
	}
	if _, err := w.Write([]byte(content)); err != nil {
		return "", err
	}
	err = z.Close()
	return b.String(), err
}

// validName reports whether a file name is UTF-8, and not, say, Shift_JIS.
func validName(s string) bool { return strings.ToValidUTF8(s, "") == s }

func tarred(name, content string) (string, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return "", err
	}
	if _, err := t.Write([]byte(content)); err != nil {
		return "", err
	}
	err := t.Close()
	return b.String(), err
}

func gzipped(content string) (string, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(content)); err != nil {
		return "", err
	}
	err := z.Close()
	return b.String(), err
}
