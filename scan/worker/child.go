package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"

	"kiyome/rules"
	"kiyome/scan"
)

// marker is the environment variable by which this program knows that it was
// started as a worker. Its value tells tests what to run in place of the engine.
const marker = "KIYOME_WORKER"

// The descriptors that a worker is started with.
const (
	socketFD  = 3
	scratchFD = 4
)

// engine is what a worker runs: *scan.Engine, or less in a test.
type engine interface {
	Run(ctx context.Context, j scan.Job) (*scan.Verdict, error)
}

// loader makes the engine before the door closes, and tells the version of its rules.
type loader func(s start) (e engine, version string, err error)

// Main turns this process into a worker and does not return, when it was started
// as one; else it returns at once. Call it first thing in main.
func Main() {
	if _, started := os.LookupEnv(marker); !started || !isSocket(socketFD) {
		return
	}
	os.Exit(serve(loadEngine))
}

// isSocket reports whether fd is a socket: somebody else's environment must not
// turn a command into a worker.
func isSocket(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK
}

// loadEngine loads the compiled rules, verified, and makes the engine.
func loadEngine(s start) (engine, string, error) {
	set, err := rules.Load(s.Rules)
	if err != nil {
		return nil, "", err
	}
	e, err := scan.NewEngine(set, s.Engine)
	if err != nil {
		return nil, "", err
	}
	return e, set.Version(), nil
}

// serve is the life of a worker. It ends when the server closes the connection,
// and the exit status is of interest to nobody but a log.
func serve(load loader) int {
	// The server decides when a worker ends; ^C reaches it too. SIGXFSZ would
	// end it where an error is due.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPIPE, unix.SIGXFSZ)
	os.Clearenv()
	closeInherited()
	// What lists processes by their short names shows this instead of "exe".
	_ = os.WriteFile("/proc/self/comm", []byte("kiyome-worker"), 0)
	// One message at a time: more would only cost memory.
	runtime.GOMAXPROCS(1)

	s := server{fd: socketFD, frame: make([]byte, frameHead+frameLimit[kindJob])}
	e, err := s.enter(load)
	if err != nil {
		var f fault
		if !errors.As(err, &f) {
			f = fault{Message: err.Error()}
		}
		_ = s.send(kindFault, f) // the server may be gone
		return 1
	}
	scratch := os.NewFile(scratchFD, "scratch")
	for {
		if err := s.scan(e, scratch); err != nil {
			if errors.Is(err, errEnd) {
				return 0
			}
			return 1
		}
	}
}

// closeInherited closes what this process was given besides its two
// descriptors: what the runtime has opened since is marked to be closed on exec.
func closeInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // no /proc: limit will say so
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= scratchFD {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}

// server is a worker's end of the connection.
type server struct {
	fd    int
	frame []byte // of a job
}

// enter reads the start, loads the rules, and closes the door.
func (s server) enter(load loader) (engine, error) {
	k, body, err := readFrame(s)
	if err != nil {
		return nil, err
	}
	var st start
	if err := json.Unmarshal(body, &st); k != kindStart || err != nil {
		return nil, fmt.Errorf("start: frame %c: %w", k, err)
	}
	e, version, err := load(st)
	if err != nil {
		return nil, err
	}
	// The collector works harder before the wall is reached.
	debug.SetMemoryLimit(st.Memory * 3 / 4)
	debug.FreeOSMemory()
	if err := confine(st.Memory, st.Engine.Limits.Unpack.Unpacked); err != nil {
		return nil, err
	}
	return e, s.send(kindReady, ready{Rules: version})
}

// tidyFrom is the size in bytes of a message from which the memory that its scan
// took is given back at once: most workers wait most of the time.
const tidyFrom = 8 << 20

// scan does one job. An error ends the worker.
func (s server) scan(e engine, scratch *os.File) error {
	j, message, err := s.receive()
	if err != nil {
		return err
	}
	defer message.Close()
	raw, release, err := scan.Map(message, j.Size)
	if err != nil {
		return s.send(kindFault, fault{Message: err.Error()})
	}
	defer release()
	var broken error
	v, err := e.Run(context.Background(), scan.Job{
		Raw: raw, File: j.File, Name: j.Name, Scratch: scratch,
		Found: func(f scan.Finding) {
			if err := s.send(kindFound, f); err != nil {
				broken = err
			}
		},
	})
	switch {
	case broken != nil:
		return broken
	case err != nil:
		err = s.send(kindFault, fault{Message: bounded(err.Error()), Scratch: errors.Is(err, scan.ErrScratch)})
	default:
		err = s.send(kindVerdict, v)
	}
	if j.Size >= tidyFrom {
		debug.FreeOSMemory()
	}
	return err
}

// bounded keeps a message within its frame.
func bounded(s string) string { return s[:min(len(s), 512)] }

// receive waits for a job and its message.
func (s server) receive() (job, *os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := s.recvmsg(s.frame, oob)
	switch {
	case err != nil:
		return job{}, nil, err
	case n == 0:
		return job{}, nil, errEnd
	case n < frameHead:
		return job{}, nil, fmt.Errorf("a frame's head of %d bytes", n)
	}
	message, err := descriptor(oob[:oobn])
	if err != nil {
		return job{}, nil, err
	}
	k, size, err := frameSize(s.frame)
	if err != nil || k != kindJob || n > frameHead+size {
		message.Close()
		return job{}, nil, fmt.Errorf("job: frame %c of %d bytes: %w", k, n, err)
	}
	body := s.frame[frameHead : frameHead+size]
	var j job
	if err := s.readFull(body[n-frameHead:]); err != nil {
		message.Close()
		return job{}, nil, err
	}
	if err := json.Unmarshal(body, &j); err != nil {
		message.Close()
		return job{}, nil, fmt.Errorf("job: %w", err)
	}
	return j, message, nil
}

// descriptor takes the file out of a control message.
func descriptor(oob []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("no message beside the job: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("no message beside the job: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "message"), nil
}

// recvmsg is the system call, again when a signal came.
func (s server) recvmsg(buf, oob []byte) (n, oobn, flags int, from unix.Sockaddr, err error) {
	for {
		n, oobn, flags, from, err = unix.Recvmsg(s.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			return
		}
	}
}

// Read implements io.Reader for readFrame.
func (s server) Read(b []byte) (int, error) {
	n, _, _, _, err := s.recvmsg(b, nil)
	if err == nil && n == 0 && len(b) > 0 {
		return 0, errEnd
	}
	return n, err
}

// readFull fills b.
func (s server) readFull(b []byte) error {
	for len(b) > 0 {
		n, err := s.Read(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// send writes one frame.
func (s server) send(k kind, v any) error {
	frame, err := encode(k, v)
	if err != nil {
		return err
	}
	for len(frame) > 0 {
		n, err := unix.Write(s.fd, frame)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		default:
			frame = frame[n:]
		}
	}
	return nil
}
