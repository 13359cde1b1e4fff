//go:build torture

package main_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kiyome/lmtp/relay/relaytest"
	"kiyome/testdata"
)

// orderFaults: no fault yet, but a look from outside at the calls by which each kind of
// delivery reaches the disk.
func orderFaults() []fault {
	return []fault{{"every kind of delivery is watched", "strace", watchOrder}}
}

// kinds are the deliveries that are watched.
var kinds = []struct {
	name  string
	mail  string // of testdata; "large" is made
	rcpts []string
	files int // that become visible
}{
	{"untouched", "attachment", []string{"jiro@example.jp"}, 1},
	{"clean", "clean", []string{"taro@example.jp"}, 1},
	{"cleaned, with its report", "attachment", []string{"taro@example.jp"}, 2},
	{"report only", "body", []string{"taro@example.jp"}, 1},
	{"three share a file", "clean", []string{"taro@example.jp", "hanako@example.jp", "ichiro@example.jp"}, 3},
	{"three share a file and have reports of their own", "attachment", []string{"taro@example.jp", "hanako@example.jp", "ichiro@example.jp"}, 6},
	{"checked and unchecked together", "attachment", []string{"taro@example.jp", "jiro@example.jp"}, 3},
	{"forwarded, with a copy", "attachment", []string{"saburo@example.jp"}, 2},
	{"forwarded, without a copy", "attachment", []string{"shiro@example.jp"}, 1},
	{"from the spool on disk", "large", []string{"taro@example.jp", "jiro@example.jp"}, 2},
	{"the same recipient twice", "clean", []string{"taro@example.jp", "TARO@example.jp"}, 1},
}

// watchRounds: the first of them delivers into Maildirs that are not there yet.
const watchRounds = 4

func watchOrder(t *testing.T, p program) *result {
	r := &result{}
	next := (&relaytest.Server{}).Start(t)
	s := tortured(t, p)
	s.NextHop = next.Addr
	s.write("kiyome.toml", "kiyome.toml", s)
	for _, name := range []string{"hanako", "ichiro"} {
		s.account("add", name+"@example.jp")
		s.account("subscribe", name+"@example.jp")
	}
	s.account("add", "saburo@example.jp", "--forward", "saburo@example.com")
	s.account("subscribe", "saburo@example.jp")
	s.account("add", "shiro@example.jp", "--forward", "shiro@example.com", "--no-copy")
	s.account("subscribe", "shiro@example.jp")
	s.start()
	trace := filepath.Join(t.TempDir(), "trace")
	off := straced(t, s, trace, "-y", "-s", "300", "-e", "trace="+watched)
	c := s.dial()
	deliveries, visible, last := 0, 0, map[int]bool{}
	for range watchRounds {
		for _, k := range kinds {
			for _, reply := range c.deliver(mailOf(k.mail), k.rcpts...) {
				if !strings.HasPrefix(reply, "250 2.0.0") {
					r.wrong("%s: %s", k.name, reply)
				}
			}
			deliveries += len(k.rcpts)
			last[deliveries] = true
			visible += k.files
		}
	}
	off()
	o := readOrder(t, trace, s.Dir+"/mail", last)
	o.checkReports(t)
	r.problems = append(r.problems, o.problems...)
	if o.replies != deliveries || len(o.shown) != visible {
		r.wrong("the trace has %d replies and %d visible files, want %d and %d", o.replies, len(o.shown), deliveries, visible)
	}
	r.heard = fmt.Sprintf("250 × %d", o.replies)
	r.mailbox = fmt.Sprintf("%d files, each synced whole before it showed; %d folders made and synced; %d out of order", len(o.shown), o.made, len(o.problems))
	return r
}

// mailOf gives a message of testdata, a large one, an infected one that is not small, or one with
// an attachment that is large when it is unpacked.
func mailOf(name string) string {
	switch name {
	case "large":
	case "long":
		return string(testdata.MustMail("attachment")) + strings.Repeat(strings.Repeat("epilogue ", 8)+"\r\n", 2000)
	case "unpacks":
		return unpacks()
	default:
		return string(testdata.MustMail(name))
	}
	return string(testdata.MustMail("clean")) + strings.Repeat(strings.Repeat("large ", 12)+"\r\n", 130_000)
}

// unpacks gives a small message with a zip whose member has 16 MB and ends in the test virus.
func unpacks() string {
	var file bytes.Buffer
	z := zip.NewWriter(&file)
	w, err := z.Create("large.exe")
	if err == nil {
		_, err = io.WriteString(w, strings.Repeat("0123456789abcdef", 1<<20)+string(testdata.EICAR()))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		panic(err) // in memory it cannot fail
	}
	var b strings.Builder
	b.WriteString("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	lines := &lineWriter{w: &b}
	encoder := base64.NewEncoder(base64.StdEncoding, lines)
	encoder.Write(file.Bytes())
	encoder.Close()
	return b.String() + "\r\n"
}

// watched are the calls that reach a disk, or a client.
const watched = "write,writev,pwrite64,sendfile,copy_file_range,splice,ftruncate,fallocate,fsync,fdatasync,link,linkat,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat"

// order is what a trace says of the order of calls.
type order struct {
	root     string
	written  map[string]int // when a file was last written
	synced   map[string]span
	owed     []debt
	problems []string
	replies  int
	last     map[int]bool    // of these replies: the last of its transaction
	staged   map[string]bool // files in tmp that show
	shown    []string        // files, in the order in which they showed
	made     int
}

// debt is a folder that has to be synced before a reply.
type debt struct {
	folder string
	box    string // to the recipient with this local part; "" to any
	since  int
}

// span is from which line of the trace to which a call lasted.
type span struct{ begin, end int }

// readOrder reads a trace of calls below root.
func readOrder(t *testing.T, trace, root string, last map[int]bool) *order {
	t.Helper()
	raw, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	o := &order{root: root, written: map[string]int{}, synced: map[string]span{}, last: last, staged: map[string]bool{}}
	type half struct {
		text  string
		begin int
	}
	halves := map[string]half{} // a call that another thread interrupts is written in two
	at := 0
	for text := range strings.Lines(string(raw)) {
		at++
		thread, call, _ := strings.Cut(strings.TrimSpace(text), " ")
		call = strings.TrimSpace(call)
		if head, ok := strings.CutSuffix(call, " <unfinished ...>"); ok {
			halves[thread] = half{head, at}
			o.begun(head, at)
			continue
		}
		begin := at
		if _, tail, ok := strings.Cut(call, " resumed>"); ok {
			call, begin = halves[thread].text+tail, halves[thread].begin
		} else {
			o.begun(call, at)
		}
		o.take(call, span{begin, at})
	}
	return o
}

var (
	callReply  = regexp.MustCompile(`^write\(\d+<socket:[^>]*>, "250 2\.0\.0 <([^@>]*)@[^>]*> \S+ delivered`)
	callWrite  = regexp.MustCompile(`^(?:write|writev|pwrite64|sendfile|copy_file_range|splice|ftruncate|fallocate)\((?:\d+<[^>]*>, NULL, )?\d+<([^>]*)>`)
	callSync   = regexp.MustCompile(`^f(?:data)?sync\(\d+<([^>]*)>\) += 0`)
	callShow   = regexp.MustCompile(`^(?:link|linkat|rename|renameat|renameat2)\([^"]*"([^"]*)"[^"]*"([^"]*)".*\) += 0`)
	callMake   = regexp.MustCompile(`^mkdir(?:at)?\([^"]*"([^"]*)".*\) += 0`)
	callUnlink = regexp.MustCompile(`^unlink(?:at)?\([^"]*"([^"]*)"`)
)

// begun looks at a call when it begins: by then what it promises must hold.
func (o *order) begun(call string, at int) {
	if m := callReply.FindStringSubmatch(call); m != nil {
		o.replies++
		o.settle(strings.ToLower(m[1]), at)
		if o.last[o.replies] && len(o.staged) > 0 {
			o.wrong("line %d: %d files are left in tmp at the last reply", at, len(o.staged))
			clear(o.staged)
		}
	}
	if m := callShow.FindStringSubmatch(call + ") = 0"); m != nil && strings.HasPrefix(m[2], o.root) {
		if s, ok := o.synced[m[1]]; !ok || s.begin <= o.written[m[1]] {
			o.wrong("line %d: %s shows before it was synced (written in line %d, synced in %d)", at, m[2], o.written[m[1]], s.begin)
		}
	}
}

// owe notes that a name appeared in a folder.
func (o *order) owe(path string, at int) {
	rel := strings.Split(strings.TrimPrefix(path, o.root+"/"), "/") // domain, local part, Maildir …
	d := debt{folder: filepath.Dir(path), since: at}
	if len(rel) > 1 {
		d.box = rel[1]
	}
	o.owed = append(o.owed, d)
}

// settle asks whether all that a reply promises has been done.
func (o *order) settle(box string, at int) {
	o.owed = slices.DeleteFunc(o.owed, func(d debt) bool {
		if d.box != "" && d.box != box {
			return false
		}
		if s := o.synced[d.folder]; s.begin <= d.since || s.end == 0 {
			o.wrong("line %d: 250 to %s before %s was synced, which was changed in line %d", at, box, d.folder, d.since)
		}
		return true
	})
}

// checkReports sees that no message that was cleaned showed before its report.
func (o *order) checkReports(t *testing.T) {
	before := map[string]string{} // by folder: what showed last
	for _, name := range o.shown {
		text := string(readFile(t, name))
		folder := filepath.Dir(name)
		if strings.Contains(text, "X-Virus-Status: Cleaned\r\n") && !strings.Contains(before[folder], "X-Virus-Status: Infected\r\n") {
			o.wrong("%s shows before its report", name)
		}
		before[folder] = text
	}
}

// take looks at a call that has ended.
func (o *order) take(call string, s span) {
	if m := callSync.FindStringSubmatch(call); m != nil {
		if _, again := o.synced[m[1]]; again && strings.Contains(m[1], "/Maildir/tmp/") {
			o.wrong("line %d: %s is synced twice", s.begin, m[1])
		}
		o.synced[m[1]] = s
	} else if m := callShow.FindStringSubmatch(call); m != nil && strings.HasPrefix(m[2], o.root) {
		o.shown = append(o.shown, m[2])
		o.staged[m[1]] = true
		o.owe(m[2], s.end)
	} else if m := callMake.FindStringSubmatch(call); m != nil && strings.HasPrefix(m[1], o.root) {
		o.made++
		o.owe(m[1], s.end)
	} else if m := callUnlink.FindStringSubmatch(call); m != nil {
		delete(o.synced, m[1])
		delete(o.staged, m[1])
	} else if m := callWrite.FindStringSubmatch(call); m != nil && strings.HasPrefix(m[1], o.root) {
		o.written[m[1]] = s.end
	}
}

func (o *order) wrong(format string, args ...any) {
	o.problems = append(o.problems, fmt.Sprintf(format, args...))
}
