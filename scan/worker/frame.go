package worker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"kiyome/rules"
	"kiyome/scan"
)

// kind is what a frame holds. A frame is its kind, the length of what follows
// (four bytes, big-endian), and JSON.
type kind byte

const (
	kindStart   kind = 'S' // server to worker, once: a start
	kindReady   kind = 'R' // worker to server, once: a ready
	kindJob     kind = 'J' // server to worker: a job, its message's descriptor beside it
	kindFound   kind = 'F' // worker to server: a scan.Finding
	kindVerdict kind = 'V' // worker to server: the scan.Verdict that ends the answer
	kindFault   kind = 'E' // worker to server: a fault, instead of a ready or a verdict
)

// frameHead is the length of a frame's kind and length.
const frameHead = 5

// frameLimit bounds each kind of frame in bytes: a worker must not be able to
// fill the server's memory.
var frameLimit = map[kind]uint32{
	kindStart:   1 << 20,
	kindReady:   4 << 10,
	kindJob:     16 << 10,
	kindFound:   64 << 10,
	kindVerdict: 8 << 20,
	kindFault:   4 << 10,
}

// start is what a worker needs before the door closes.
type start struct {
	Rules  rules.Compiled
	Config rules.Config
	Engine scan.Options
	Memory int64
}

// ready is how a worker says that the door is closed behind it.
type ready struct {
	Rules string // version
}

// job is one scan.
type job struct {
	Size int64
	File bool
	Name string
}

// fault is something wrong with the worker rather than with the bytes.
type fault struct {
	Message string
	Sandbox bool // it could not be confined
	Scratch bool // the scratch file failed
}

func (f fault) Error() string { return f.Message }

// encode makes a frame; an error when it would be over its limit.
func encode(k kind, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("frame %c: %w", k, err)
	}
	if len(body) > int(frameLimit[k]) {
		return nil, fmt.Errorf("frame %c: %d bytes are too many", k, len(body))
	}
	frame := make([]byte, frameHead, frameHead+len(body))
	frame[0] = byte(k)
	binary.BigEndian.PutUint32(frame[1:], uint32(len(body)))
	return append(frame, body...), nil
}

// frameSize gives the kind and the length that a frame's head tells.
func frameSize(head []byte) (kind, int, error) {
	k, n := kind(head[0]), binary.BigEndian.Uint32(head[1:])
	if limit, known := frameLimit[k]; !known || n > limit {
		return 0, 0, fmt.Errorf("a frame of kind %q and %d bytes", head[0], n)
	}
	return k, int(n), nil
}

// errEnd says that the other side closed the connection between two frames.
var errEnd = errors.New("connection closed")

// readFrame reads one frame.
func readFrame(r io.Reader) (kind, []byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, nil, errEnd
		}
		return 0, nil, err
	}
	k, n, err := frameSize(head[:])
	if err != nil {
		return 0, nil, err
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	return k, body, nil
}
