//go:build torture

package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"kiyome/testdata"
)

// storage is a fault of the disk below taro's mailbox, or below all of them.
type storage struct {
	name    string
	needs   string
	prepare func(t *testing.T, s *site)              // before the server starts; nil for nothing
	on      func(t *testing.T, s *site) (off func()) // while it runs
	syncs   string                                   // in place of on: the error of every sync
	taro    string                                   // what he hears, whom the fault strikes
	others  string                                   // what is heard by the others of the same transaction
	mail    string                                   // which message; "" for an infected one
	checked bool                                     // hanako, whose mail is checked like his, is struck too
	away    bool                                     // his earlier mail has gone with the fault
	dirty   bool                                     // files may be left in tmp
}

const (
	ok       = "250 2.0.0"
	ours     = "451 4.3.0"
	full     = "452 4.3.1"
	quota    = "452 4.2.2"
	anyFault = "4"
)

func storageFaults() []fault {
	taro := func(s *site, name string) string { return filepath.Join(s.Dir, "mail/example.jp/taro", name) }
	all := []storage{
		{name: "the disk is full", needs: "root mkfs.ext4", prepare: onDisk("8M"), on: filled, taro: full, others: ok},
		{name: "a small tmpfs is full", needs: "root", prepare: onTmpfs("mail/example.jp/taro", "256k"), on: filled, taro: full, others: ok},
		{name: "no inode is free", needs: "root mkfs.ext4", prepare: onDisk("8M", "-N", "32"), on: withoutInodes, taro: full, others: ok},
		{name: "the disk becomes read-only", needs: "root mkfs.ext4", prepare: onDisk("8M"), on: readOnly, taro: ours, others: ok},
		{name: "the spool is full", needs: "root", prepare: onTmpfs("state/spool", "1m"), on: spoolFilled, taro: full, others: full, mail: "large"},
		{name: "the scratch of what is unpacked is full", needs: "root", prepare: onTmpfs("state/spool", "1m"), on: spoolFilled, taro: ours, others: ok, mail: "unpacks", checked: true},
		{name: "the disk of state_dir is full", needs: "root", prepare: stateOnTmpfs, on: stateFilled, taro: ok, others: ok},
		{name: "tmp belongs to another", needs: "root", on: notWritable, taro: ours, others: ok},
		{name: "new belongs to another", needs: "root", on: foreign("new"), taro: ours, others: ok},
		{name: "the Maildir belongs to another", needs: "root", on: foreign(""), taro: ours, others: ok},
		{name: "the Maildir is a file", on: replaced(func(dir string) error { return os.WriteFile(dir, nil, 0o600) }), taro: ours, others: ok},
		{name: "the Maildir is a link to nowhere", on: replaced(func(dir string) error { return os.Symlink("/nowhere/at/all", dir) }), taro: ours, others: ok},
		{name: "the Maildir is missing", on: missing(""), taro: ok, others: ok, away: true},
		{name: "tmp is missing", on: missing("tmp"), taro: ok, others: ok},
		{name: "new is missing", on: missing("new"), taro: ok, others: ok, away: true},
		{name: "the folder of all mailboxes is missing", on: unmounted, taro: ours, others: ours},
		{name: "a folder cannot be made", needs: "strace", on: both(missing(""), injected("mkdirat:error=EIO")), taro: ours, others: ok, away: true},
		{name: "a file cannot be made", needs: "strace", on: injected("openat:error=EIO"), taro: ours, others: ours},
		{name: "EIO when written", needs: "strace", on: injected("sendfile:error=EIO"), taro: ours, others: ours, mail: "long"},
		{name: "ENOSPC when written", needs: "strace", on: injected("sendfile:error=ENOSPC"), taro: full, others: full, mail: "long"},
		{name: "over quota when written", needs: "strace", on: injected("sendfile:error=EDQUOT"), taro: quota, others: quota, mail: "long"},
		{name: "over quota, quota = bounce", needs: "strace", prepare: bouncing, on: injected("sendfile:error=EDQUOT"), taro: "552 5.2.2", others: "552 5.2.2", mail: "long"},
		{name: "EIO when synced", needs: "strace", syncs: "EIO", taro: ours, others: ours},
		{name: "ENOSPC when synced", needs: "strace", syncs: "ENOSPC", taro: full, others: full},
		{name: "over quota when synced", needs: "strace", syncs: "EDQUOT", taro: quota, others: quota},
		{name: "EIO when linked", needs: "strace", on: injected("linkat:error=EIO"), taro: ours, others: ours},
		{name: "no hard links", needs: "strace", on: injected("linkat:error=EPERM"), taro: ok, others: ok},
		{name: "neither link nor rename", needs: "strace", on: injected("linkat,rename,renameat,renameat2:error=EXDEV"), taro: ours, others: ours},
		{name: "EIO when removed from tmp", needs: "strace", on: injected("unlinkat:error=EIO"), taro: ok, others: ok, dirty: true},
		{name: "syncing is slow", needs: "strace", on: injected("fsync:delay_enter=200000"), taro: ok, others: ok},
		{name: "no descriptor is free", needs: "prlimit", on: withoutDescriptors, taro: anyFault, others: ok + "|" + anyFault}, // to deliver takes one at a time
		{name: "files may not grow", needs: "prlimit", on: limited("fsize", 64<<10), taro: anyFault, others: anyFault, mail: "large"},
	}
	for _, errno := range []struct{ name, reply string }{{"EIO", ours}, {"ENOSPC", full}, {"EDQUOT", quota}} {
		all = append(all, storage{
			name: errno.name + " when his folder is synced", needs: "strace", taro: errno.reply, others: ok,
			on: func(t *testing.T, s *site) func() {
				return injected("fsync:error="+errno.name, taro(s, "Maildir/new"))(t, s)
			},
		})
	}
	var faults []fault
	for _, f := range all {
		faults = append(faults, fault{f.name, f.needs, f.run})
	}
	return faults
}

// run delivers before the fault, three times during it, and after it, without a restart.
func (f storage) run(t *testing.T, p program) *result {
	r := &result{}
	s := tortured(t, p)
	s.account("add", "hanako@example.jp")
	s.account("subscribe", "hanako@example.jp")
	if f.prepare != nil {
		f.prepare(t, s)
	}
	s.start()
	pid := s.serve.Process.Pid
	c := s.dial()
	infected := string(testdata.MustMail("attachment"))
	everybody := []string{"taro@example.jp", "hanako@example.jp", "jiro@example.jp"}
	for _, reply := range c.deliver(infected, everybody...) {
		if !strings.HasPrefix(reply, ok) {
			t.Fatalf("before the fault: %s", reply)
		}
	}
	before := f.visible(t, s, r)
	if f.syncs != "" {
		f.on = r.failingSyncs(f.syncs)
	}
	off := f.on(t, s)
	heard := f.during(r, c, everybody)
	off()
	if f.away {
		before = 0
	}
	if got := f.visible(t, s, r); got != before+f.due(heard) {
		r.wrong("%d files are visible after %d replies of 250, %d were before", got, len(heard), before)
	}
	c = redial(s.LMTP)
	defer c.conn.Close()
	for i, reply := range c.deliver(infected, everybody...) {
		if !strings.HasPrefix(reply, ok) {
			r.wrong("recipient %d after the fault, without a restart: %s", i, reply)
		}
	}
	if s.serve.Process.Pid != pid || s.serve.Process.Signal(syscall.Signal(0)) != nil {
		r.wrong("the server has ended")
	}
	if left, _ := filepath.Glob(s.Dir + "/mail/*/*/Maildir/tmp/kiyome.*"); len(left) > 0 && !f.dirty {
		r.wrong("left in tmp: %q", left)
	}
	r.mailbox = fmt.Sprintf("nothing in part; %d messages after it", f.visible(t, s, r))
	return r
}

// during delivers while the fault is there, and gives taro's replies of 250.
func (f storage) during(r *result, c *lmtpClient, everybody []string) (heard []string) {
	msg := mailOf(cmpOr(f.mail, "attachment"))
	hanako := f.others
	if f.checked {
		hanako = f.taro
	}
	for range 3 {
		replies := c.deliver(msg, everybody...)
		for i, want := range []string{f.taro, hanako, f.others} {
			if i >= len(replies) {
				r.wrong("the session breaks off: %q", replies)
				return heard
			}
			if !slices.ContainsFunc(strings.Split(want, "|"), func(w string) bool { return strings.HasPrefix(replies[i], w) }) {
				r.wrong("recipient %d during the fault: %s, want %s", i, replies[i], want)
			}
		}
		r.heard = fmt.Sprintf("%.9s, others %.9s", replies[0], replies[1])
		if strings.HasPrefix(replies[0], "250 ") {
			heard = append(heard, replies[0])
		}
	}
	return heard
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// due is how many files so many acknowledged messages are: each has its report.
func (f storage) due(heard []string) int {
	if f.mail == "large" {
		return len(heard)
	}
	return 2 * len(heard)
}

var sizeInName = regexp.MustCompile(`,S=(\d+),`)

// visible counts what taro can see, and sees that nothing is there in part: a file is as long as
// its name says, also in the mailboxes of the others.
func (f storage) visible(t *testing.T, s *site, r *result) (n int) {
	t.Helper()
	for box, files := range readBoxes(t, s.Dir+"/mail") {
		for name, text := range files {
			m := sizeInName.FindStringSubmatch(name)
			if m == nil || m[1] != strconv.Itoa(len(text)) {
				r.wrong("%s/new/%s has %d bytes", box, name, len(text))
			}
			if box == "taro" {
				n++
			}
		}
	}
	return n
}

// onDisk puts taro's mailbox on a small ext4.
func onDisk(size string, options ...string) func(t *testing.T, s *site) {
	return func(t *testing.T, s *site) {
		image := filepath.Join(t.TempDir(), "image")
		newImage(t, image, size, options...)
		dir := filepath.Join(s.Dir, "mail/example.jp/taro")
		mount(t, image, dir)
		own(t, s, filepath.Dir(dir), dir)
	}
}

func onTmpfs(name, size string) func(t *testing.T, s *site) {
	return func(t *testing.T, s *site) {
		dir := filepath.Join(s.Dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		must(t, "mount", "-t", "tmpfs", "-o", "size="+size, "none", dir)
		t.Cleanup(func() { unmount(dir) })
		own(t, s, filepath.Dir(dir), dir)
	}
}

// stateOnTmpfs moves state_dir to a small file system.
func stateOnTmpfs(t *testing.T, s *site) {
	was := filepath.Join(s.Dir, "state.was")
	must(t, "cp", "-a", filepath.Join(s.Dir, "state"), was)
	onTmpfs("state", "16m")(t, s)
	must(t, "cp", "-a", was+"/.", filepath.Join(s.Dir, "state"))
}

func own(t *testing.T, s *site, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Chown(path, int(s.uid), int(s.gid)); err != nil {
			t.Fatal(err)
		}
	}
}

func filled(t *testing.T, s *site) (off func()) {
	return fill(t, filepath.Join(s.Dir, "mail/example.jp/taro/filler"))
}

func spoolFilled(t *testing.T, s *site) (off func()) {
	return fill(t, filepath.Join(s.Dir, "state/spool/filler"))
}

func stateFilled(t *testing.T, s *site) (off func()) {
	return fill(t, filepath.Join(s.Dir, "state/filler"))
}

// fill writes a file until there is no room.
func fill(t *testing.T, name string) (off func()) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{64 << 10, 512} { // the last bytes too
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
	}
	f.Close()
	return func() { os.Remove(name) }
}

func withoutInodes(t *testing.T, s *site) (off func()) {
	dir := filepath.Join(s.Dir, "mail/example.jp/taro/filler")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			break
		}
		f.Close()
	}
	return func() { os.RemoveAll(dir) }
}

func readOnly(t *testing.T, s *site) (off func()) {
	dir := filepath.Join(s.Dir, "mail/example.jp/taro")
	must(t, "mount", "-o", "remount,ro", dir)
	return func() { must(t, "mount", "-o", "remount,rw", dir) }
}

// foreign gives a folder of taro's Maildir to root.
func foreign(name string) func(t *testing.T, s *site) (off func()) {
	return func(t *testing.T, s *site) (off func()) {
		dir := filepath.Join(s.Dir, "mail/example.jp/taro/Maildir", name)
		if err := os.Chown(dir, 0, 0); err != nil {
			t.Fatal(err)
		}
		return func() { own(t, s, dir) }
	}
}

// replaced has something else stand in the place of the Maildir.
func replaced(by func(dir string) error) func(t *testing.T, s *site) (off func()) {
	return func(t *testing.T, s *site) (off func()) {
		dir := filepath.Join(s.Dir, "mail/example.jp/taro/Maildir")
		if err := errors.Join(os.Rename(dir, dir+".away"), by(dir)); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func missing(name string) func(t *testing.T, s *site) (off func()) {
	return func(t *testing.T, s *site) (off func()) {
		if err := os.RemoveAll(filepath.Join(s.Dir, "mail/example.jp/taro/Maildir", name)); err != nil {
			t.Fatal(err)
		}
		return func() {}
	}
}

// unmounted takes the folder of all mailboxes away, as a disk that is not mounted.
func unmounted(t *testing.T, s *site) (off func()) {
	mail := filepath.Join(s.Dir, "mail")
	if err := os.Rename(mail, mail+".away"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Rename(mail+".away", mail); err != nil {
			t.Fatal(err)
		}
	}
}

// both puts two faults on.
func both(a, b func(t *testing.T, s *site) (off func())) func(t *testing.T, s *site) (off func()) {
	return func(t *testing.T, s *site) (off func()) {
		offA := a(t, s)
		offB := b(t, s)
		return func() { offB(); offA() }
	}
}

func bouncing(_ *testing.T, s *site) { s.setting("inbound", `quota = "bounce"`) }

var syncedPath = regexp.MustCompile(`sync\(\d+<([^>]*)>`)

// failingSyncs lets every sync fail. None of a file is tried again, for the kernel takes the
// pages for written after the first; and no folder comes to be synced.
func (r *result) failingSyncs(errno string) func(t *testing.T, s *site) (off func()) {
	return func(t *testing.T, s *site) (off func()) {
		trace := filepath.Join(t.TempDir(), "trace")
		untrace := straced(t, s, trace, "-y", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error="+errno)
		return func() {
			untrace()
			tried := map[string]int{}
			for _, m := range syncedPath.FindAllStringSubmatch(string(readFile(t, trace)), -1) {
				tried[m[1]]++
			}
			for path, n := range tried {
				if n > 1 || !strings.Contains(path, "/Maildir/tmp/") {
					r.wrong("%s is synced %d times, after syncs that failed", path, n)
				}
			}
			if len(tried) == 0 {
				r.wrong("nothing was synced: that shows nothing")
			}
		}
	}
}

// limited bounds what the running server may use of a resource, which its own user may do.
func limited(resource string, most int) func(t *testing.T, s *site) (off func()) {
	return func(t *testing.T, s *site) (off func()) {
		set := func(soft string) string {
			cmd := s.command("--pid", strconv.Itoa(s.serve.Process.Pid), "--"+resource+soft, "--output=SOFT", "--noheadings", "--raw")
			prlimit, err := exec.LookPath("prlimit")
			if err != nil {
				t.Fatal(err)
			}
			cmd.Path = prlimit
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("prlimit --%s%s: %v %s", resource, soft, err, out)
			}
			return strings.TrimSpace(string(out))
		}
		was := set("")
		set(fmt.Sprintf("=%d:", most))
		return func() { set("=" + was + ":") }
	}
}

// withoutDescriptors allows the server no more than it has open, and has others ask for more.
func withoutDescriptors(t *testing.T, s *site) (off func()) {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.serve.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	unlimit := limited("nofile", len(open))(t, s)
	crowd := dialMany(t, s.LMTP, 20)
	return func() {
		unlimit()
		crowd.close()
	}
}
