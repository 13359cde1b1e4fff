package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kiyome/scan"
)

// TestMain is what the test program does when the pool starts it as a worker:
// the real thing, or one of the fakes below within the same walls.
func TestMain(m *testing.M) {
	if folder := os.Getenv(serverMarker); folder != "" {
		serveForTest(folder)
		return
	}
	if name := os.Getenv(marker); name != "" {
		os.Exit(serve(func(start) (engine, string, error) {
			if name == "broken" {
				return nil, "", errors.New("no rules here")
			}
			return fake{name}, "fake", nil
		}))
	}
	Main()
	os.Exit(m.Run())
}

// fake is an engine that does what the message says, line by line.
type fake struct{ name string }

// eicar is a finding.
var eicar = scan.Finding{Malware: "EICAR-Test", Part: "2"}

func (f fake) Run(_ context.Context, j scan.Job) (*scan.Verdict, error) {
	v := &scan.Verdict{Outcome: scan.Clean, Rules: f.name}
	for line := range strings.Lines(string(j.Raw[:min(len(j.Raw), 4096)])) {
		word, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "find":
			v.Findings = append(v.Findings, eicar)
			v.Outcome = scan.ReportOnly
			j.Found(eicar)
		case "die":
			_ = unix.Kill(os.Getpid(), unix.SIGKILL) // not allowed
			unix.Exit(9)
		case "segv":
			crash()
		case "hang":
			for {
				time.Sleep(time.Hour)
			}
		case "spin":
			for n := 1; n != 0; n = n*3 | 1 {
			}
		case "sleep":
			d, _ := time.ParseDuration(arg)
			time.Sleep(d)
		case "hog":
			v.Odd = append(v.Odd, fmt.Sprint(len(hog())))
		case "lie":
			v.Findings, v.Outcome = nil, scan.Clean
		case "say": // a frame that nobody waits for
			say(arg, 1)
		case "twice":
			say(arg, 2)
		case "later": // the same, when the verdict has been sent
			time.AfterFunc(50*time.Millisecond, func() { say(arg, 1) })
		case "fault":
			return nil, errors.New("a fault of the engine")
		case "full":
			return nil, fmt.Errorf("%w: no space", scan.ErrScratch)
		case "pid":
			v.Odd = append(v.Odd, fmt.Sprint(os.Getpid()))
		case "name":
			if j.File {
				v.Odd = append(v.Odd, "file "+j.Name)
			}
		case "keep":
			_, _ = j.Scratch.Write([]byte("what nobody should see")) // the next job would
		case "grow":
			size, _ := strconv.ParseInt(arg, 10, 64)
			v.Odd = append(v.Odd, fmt.Sprint(j.Scratch.Truncate(size)))
		case "try":
			v.Odd = append(v.Odd, attempts(j)...)
		}
	}
	return v, nil
}

// say sends a frame, its kind and what it holds in JSON, so many times in one go.
func say(frame string, times int) {
	var body any
	_ = json.Unmarshal([]byte(frame[1:]), &body)
	b, _ := encode(kind(frame[0]), body)
	_, _ = unix.Write(socketFD, bytes.Repeat(b, times))
}

// crash dereferences nil where no recover helps.
func crash() {
	go func() {
		var p *int
		*p = 1
	}()
	time.Sleep(time.Hour)
}

// hog takes memory until there is none.
func hog() [][]byte {
	var all [][]byte
	for range 1 << 14 {
		all = append(all, bytes.Repeat([]byte{1}, 1<<20))
	}
	return all
}

// attempts tells what comes of everything that a worker must not do.
func attempts(j scan.Job) []string {
	var told []string
	try := func(what string, err error) {
		if err == nil {
			told = append(told, what+": allowed")
		} else {
			told = append(told, what+": "+err.Error())
		}
	}
	open := func(name string, flags int) error {
		fd, err := unix.Open(name, flags, 0o600)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	try("open a file", open("/etc/passwd", unix.O_RDONLY))
	try("make a file", open("/tmp", unix.O_TMPFILE|unix.O_RDWR))
	_, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	try("socket", err)
	_, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	try("socketpair", err)
	try("exec", unix.Exec("/bin/true", nil, nil))
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	try("fork", errno)
	_, _, errno = unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.CLONE_VM|unix.CLONE_VFORK|unix.SIGCHLD), 0, 0)
	if errno == 0 {
		// Neither side of such a clone has a stack that is safe to use.
		told = append(told, "vfork: allowed")
	} else {
		try("vfork", errno)
	}
	for what, command := range map[string]int{"own a descriptor": unix.F_SETOWN, "choose its signal": unix.F_SETSIG, "lease": unix.F_SETLEASE, "watch a folder": unix.F_NOTIFY} {
		_, err := unix.FcntlInt(socketFD, command, os.Getppid())
		try(what, err)
	}
	try("kill the server", unix.Kill(os.Getppid(), 0))
	try("signal the server", unix.Tgkill(os.Getppid(), os.Getppid(), 0))
	_, err = unix.MemfdCreate("x", 0)
	try("memfd", err)
	_, err = unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	try("executable memory", err)
	try("ptrace", unix.PtraceAttach(os.Getppid()))
	try("raise a limit", unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 16, Max: 16}))
	try("unlink", unix.Unlink("/nowhere"))
	try("write to the message", writeTo(messageFD(len(j.Raw))))
	return told
}

// messageFD is the descriptor of the message that is being scanned: the file of
// its size.
func messageFD(size int) int {
	for fd := range 16 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == int64(size) {
			return fd
		}
	}
	return -1
}

func writeTo(fd int) error {
	_, err := unix.Pwrite(fd, []byte("x"), 0)
	return err
}
