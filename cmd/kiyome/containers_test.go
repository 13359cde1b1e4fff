package main_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// nests put a file into two containers, under names that tell the contrary.
var nests = []func(file []byte) []byte{
	func(b []byte) []byte { return inZip("photo.png", inTar("写真.jpg", b)) },
	func(b []byte) []byte { return inGzip(inZip("notes.txt", b)) },
	func(b []byte) []byte { return inTar("index.html", inGzip(b)) },
	func(b []byte) []byte { return inTar("a.gif", inZip("報告書.pdf", b)) },
}

func inZip(name string, file []byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write(file)
	}
	return made(&b, err, z)
}

func inTar(name string, file []byte) []byte {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(file))})
	if err == nil {
		_, err = t.Write(file)
	}
	return made(&b, err, t)
}

func inGzip(file []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(file)
	return made(&b, err, z)
}

// made gives what a writer wrote into b. Writing to memory does not fail.
func made(b *bytes.Buffer, err error, w io.Closer) []byte {
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// photo is a message to which a file is attached as a picture.
func photo(file []byte) string {
	var b strings.Builder
	b.WriteString("From: hanako@example.com\r\nTo: taro@example.jp\r\nSubject: photo\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=outer\r\n\r\n" +
		"--outer\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n" +
		"--outer\r\nContent-Type: image/jpeg; name=\"photo.jpg\"\r\nContent-Disposition: attachment; filename=\"photo.jpg\"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	text := base64.StdEncoding.EncodeToString(file)
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return b.String() + text + "\r\n--outer--\r\n"
}

// TestContainersThroughTheServer delivers every sample of a container, and its clean
// twin, within two other containers, each of which goes by a wrong name.
func TestContainersThroughTheServer(t *testing.T) {
	if testing.Short() {
		t.Skip("delivers hundreds of messages")
	}
	s := newSite(t)
	s.folder("rules", 0o755, false)
	rule := []byte(`rule Marker { meta: malware = "Test.Marker" strings: $a = "KIYOME-MARKER" $b = "KIYOME-MARKER" wide condition: any of them }`)
	config, err := os.OpenFile(filepath.Join(s.Dir, "kiyome.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(config, "\n[rules]\ndirs = [%q]\n", filepath.Join(s.Dir, "rules"))
	if err := errors.Join(err, config.Close(), os.WriteFile(filepath.Join(s.Dir, "rules/marker.yar"), rule, 0o644)); err != nil {
		t.Fatal(err)
	}
	s.account("add", "taro@example.jp")
	s.account("subscribe", "taro@example.jp")
	s.start()
	c := s.dial()

	const samples = "../../testdata/containers"
	twins, err := filepath.Glob(filepath.Join(samples, "*-clean*"))
	if err != nil || len(twins) < 100 {
		t.Fatalf("%d samples, %v", len(twins), err)
	}
	for i, twin := range twins {
		name := strings.Replace(filepath.Base(twin), "-clean", "", 1)
		t.Run(name, func(t *testing.T) {
			if name == "rtf-obfuscated.rtf" || name == "lnk-enc.lnk" {
				t.Skip("made as exploits are: the built-in rules condemn the clean one too")
			}
			nest := nests[i%len(nests)]
			got := s.arrived(t, c, photo(nest(readFile(t, filepath.Join(samples, name)))))
			slices.SortFunc(got, func(a, b string) int { // the report first, whatever their names
				return strings.Index(a, "X-Virus-Status: Cleaned") - strings.Index(b, "X-Virus-Status: Cleaned")
			})
			if len(got) != 2 || !strings.Contains(got[0], "X-Virus-Status: Infected") || !strings.Contains(got[1], "X-Virus-Status: Cleaned") || strings.Contains(got[1], "photo.jpg") {
				t.Errorf("of the infected one %d messages arrive: %.3000q", len(got), got)
			}
			clean := photo(nest(readFile(t, twin)))
			if got := s.arrived(t, c, clean); len(got) != 1 || !strings.Contains(got[0], "X-Virus-Status: Clean\r\n") || !strings.HasSuffix(got[0], clean) {
				t.Errorf("of the clean one %d messages arrive: %.1000q", len(got), got)
			}
		})
	}
}

// arrived delivers a message to taro, gives what then lies in the mailbox, and empties it.
func (s *site) arrived(t *testing.T, c *lmtpClient, msg string) []string {
	t.Helper()
	for _, reply := range c.deliver(msg, "taro@example.jp") {
		if !strings.HasPrefix(reply, "250 ") {
			t.Error(reply)
		}
	}
	got := s.maildir("taro")
	files, err := filepath.Glob(filepath.Join(s.Dir, "mail/example.jp/taro/Maildir/new/*"))
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
