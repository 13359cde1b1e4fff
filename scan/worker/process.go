package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kiyome/scan"
)

// process is the server's end of one worker.
type process struct {
	gen     *generation
	cmd     *exec.Cmd
	conn    *net.UnixConn
	in      *bufio.Reader
	scratch *os.File
	bound   uint64 // how far it may grow, in bytes
	last    *tail
	version string // of its rules
	ended   atomic.Bool
	talk    sync.Mutex    // held while somebody reads: the last words of a worker are heard
	gone    chan struct{} // closed when it was reaped

	// Guarded by the pool.
	jobs    int
	counted bool // among its generation's alive
	leaving bool // its end is our doing
}

// startTime bounds how long a worker may take to load its rules and close the door.
const startTime = 60 * time.Second

// spawn runs this program again with one end of a socket pair. It must run on a
// thread that outlives the worker: the kernel kills the worker with that thread.
func spawn(g *generation, o Options) (*process, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "server")
	defer ours.Close() // net.FileConn makes its own descriptor
	defer theirs.Close()
	c, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	scratch, err := scan.Unlinked(o.Scratch)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("scratch file: %w", err)
	}
	w := &process{
		gen: g, conn: c.(*net.UnixConn), in: bufio.NewReader(c), scratch: scratch,
		last: &tail{}, gone: make(chan struct{}),
	}
	w.cmd = &exec.Cmd{
		Path:        "/proc/self/exe", // the program that runs, whatever lies under its name by now
		Args:        []string{"kiyome-worker"},
		Dir:         "/",
		Env:         []string{marker + "=" + o.fake, "GOTRACEBACK=none", "MALLOC_ARENA_MAX=1"},
		ExtraFiles:  []*os.File{theirs, scratch},
		Stderr:      w.last,
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
		WaitDelay:   time.Second,
	}
	if err := w.cmd.Start(); err != nil {
		w.release()
		return nil, err
	}
	go func() {
		_ = w.cmd.Wait() // a worker has no status that matters
		w.ended.Store(true)
		w.release()
		close(w.gone)
	}()
	return w, nil
}

// release closes what belongs to a worker that has ended.
func (w *process) release() {
	w.talk.Lock()
	defer w.talk.Unlock()
	w.conn.Close()
	w.scratch.Close()
}

// boundScratch lets the scratch file grow as far as the scan of a message of size
// bytes can need: all that may be unpacked, the message less what was cut, one
// leaf decoded, and what is lost between them. The worker cannot change it.
func (w *process) boundScratch(size int64) error {
	const step = 1 << 20 // most messages need the same
	bound := uint64(w.gen.start.Engine.Limits.Unpack.Unpacked + (2*size+step-1)/step*step + 64<<20)
	if bound == w.bound {
		return nil
	}
	var was unix.Rlimit
	if err := unix.Prlimit(w.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &was); err != nil {
		return os.NewSyscallError("prlimit", err)
	}
	limit := unix.Rlimit{Cur: min(bound, was.Max), Max: was.Max}
	if err := unix.Prlimit(w.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		return os.NewSyscallError("prlimit", err)
	}
	w.bound = bound
	return nil
}

// emptyScratch gives back what was unpacked: it is not kept until the next large message.
func (w *process) emptyScratch() error {
	var st unix.Stat_t
	raw, err := w.scratch.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) }); cerr != nil || err != nil {
		return errors.Join(cerr, err)
	}
	if st.Size == 0 && st.Blocks == 0 {
		return nil
	}
	return w.scratch.Truncate(0)
}

// kill ends the worker at once: whoever waits for its answer hears of it.
func (w *process) kill() {
	_ = w.cmd.Process.Kill() // it has ended already, which is as well
}

// enter has the worker load its rules and close the door. On an error the
// worker has ended.
func (w *process) enter(ctx context.Context) error {
	stop := context.AfterFunc(ctx, w.kill)
	defer stop()
	err := w.begin()
	if err == nil {
		return nil
	}
	w.kill()
	<-w.gone
	var f fault
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &f) && f.Sandbox:
		return fmt.Errorf("%w: %w", ErrSandbox, err)
	}
	if said := w.last.String(); said != "" {
		return fmt.Errorf("%w (%s)", err, said)
	}
	return err
}

// begin sends the start and waits for the answer.
func (w *process) begin() error {
	w.talk.Lock()
	defer w.talk.Unlock()
	frame, err := encode(kindStart, w.gen.start)
	if err != nil {
		return err
	}
	if err := w.conn.SetDeadline(time.Now().Add(startTime)); err != nil {
		return err
	}
	if _, err := w.conn.Write(frame); err != nil {
		return err
	}
	var r ready
	if err := w.answer(kindReady, &r, nil); err != nil {
		return err
	}
	w.version = r.Rules
	return nil
}

// errOurs says that the server itself failed, or a worker that had not been given the
// message yet: nothing of that is the message's doing.
var errOurs = errors.New("worker: a fault of the server's")

// scan has the worker do one job. An error is a fault, which the worker survived, or errOurs,
// or it is the worker's end; found is what it had told by then.
func (w *process) scan(ctx context.Context, j job, m *scan.Message, limit time.Duration) (v *scan.Verdict, found []scan.Finding, err error) {
	frame, err := encode(kindJob, j)
	if err != nil {
		return nil, nil, fault{Message: err.Error()}
	}
	w.talk.Lock()
	defer w.talk.Unlock()
	stop := context.AfterFunc(ctx, w.kill)
	defer stop()
	if err := w.send(frame, j, m, limit); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errOurs, err)
	}
	v = &scan.Verdict{}
	tell := func(f scan.Finding) error {
		if len(found) == maxFound {
			return errors.New("too many findings")
		}
		if err := checkFinding(&f, j.Size); err != nil {
			return err
		}
		found = append(found, f)
		return nil
	}
	if err := w.answer(kindVerdict, v, tell); err != nil {
		return nil, found, err
	}
	if err := check(v, j.Size, found); err != nil {
		return nil, found, fmt.Errorf("worker: %w", err)
	}
	if w.in.Buffered() > 0 {
		return nil, found, errAhead
	}
	if err := w.emptyScratch(); err != nil {
		return nil, found, fmt.Errorf("%w: scratch file: %w", errOurs, err)
	}
	return v, found, nil
}

// send gives the worker a job, in its frame, and the message.
func (w *process) send(frame []byte, j job, m *scan.Message, limit time.Duration) error {
	if err := w.silent(); err != nil {
		return err
	}
	if err := w.boundScratch(j.Size); err != nil {
		return err
	}
	if err := w.conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	message, err := m.File()
	if err != nil {
		return err
	}
	// The worker is to be woken once: all of it in one piece.
	n, _, err := w.conn.WriteMsgUnix(frame, unix.UnixRights(int(message.Fd())), nil)
	if err == nil && n < len(frame) {
		_, err = w.conn.Write(frame[n:])
	}
	return err
}

// maxFound is how many findings a worker may tell of one message: what the
// engine lists at the most.
const maxFound = scan.MaxFindings

// errAhead says that a worker answered what it was not asked: an answer that is
// there before its message would be taken for that message's.
var errAhead = errors.New("worker: it speaks unasked")

// silent reports, as an error, that the worker has said anything more than was read.
func (w *process) silent() error {
	if w.in.Buffered() > 0 {
		return errAhead
	}
	raw, err := w.conn.SyscallConn()
	if err != nil {
		return err
	}
	n, peeked := 0, error(nil)
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, peeked = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	switch {
	case err != nil:
		return err
	case peeked == nil && n > 0:
		return errAhead
	}
	return nil // of its end the next read tells
}

// answer reads frames up to one of kind want, which it decodes into v, and
// hands the findings before it to found, which may refuse them.
func (w *process) answer(want kind, v any, found func(scan.Finding) error) error {
	for {
		k, body, err := readFrame(w.in)
		if err != nil {
			return err
		}
		switch {
		case k == want:
			return json.Unmarshal(body, v)
		case k == kindFault:
			var f fault
			if err := json.Unmarshal(body, &f); err != nil {
				return err
			}
			return f
		case k == kindFound && found != nil:
			var f scan.Finding
			if err := json.Unmarshal(body, &f); err != nil {
				return err
			}
			if err := found(f); err != nil {
				return fmt.Errorf("worker: %w", err)
			}
		default:
			return fmt.Errorf("worker: an unexpected frame of kind %c", k)
		}
	}
}

// tail keeps the beginning of what a worker says before it dies, for the log.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailSize is how much of it, in bytes.
const tailSize = 512

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b[:min(len(b), tailSize-len(t.text))]...)
	return len(b), nil
}

// String is what was said, in one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(string(t.text)), " ")
}
