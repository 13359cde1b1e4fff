package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"kiyome/accounts"
)

// A message is a line of an answer that comes bit by bit. One of its fields is
// set; the last line has the result, or the error. Without either, the answer was cut off.
type message struct {
	Charge   *accounts.Charge     `json:"charge,omitempty"`
	Change   *accounts.Difference `json:"change,omitempty"`
	Progress *stage               `json:"progress,omitempty"` // if it was asked for
	Result   json.RawMessage      `json:"result,omitempty"`
	Kind     string               `json:"kind,omitempty"`
	Error    string               `json:"error,omitempty"`
}

// stage is how far long work is.
type stage struct {
	Done int `json:"done"`
	All  int `json:"all"` // 0: unknown
}

// A sender writes messages for as long as there is somebody to read them.
type sender struct {
	w       http.ResponseWriter
	out     *bufio.Writer
	lines   *json.Encoder
	started bool
	told    time.Time // of the progress
}

// send reports whether to go on.
func (s *sender) send(m message) bool {
	if !s.started {
		s.w.Header().Set("Content-Type", "application/x-ndjson")
		s.started = true
	}
	return s.lines.Encode(m) == nil
}

// progress gives what tells of progress, when the request asks for it.
func (s *sender) progress(r *http.Request) accounts.Progress {
	if r.URL.Query().Get("progress") != "true" {
		return nil
	}
	const often = 100 * time.Millisecond
	return func(done, all int) {
		if now := time.Now(); now.Sub(s.told) >= often || done == all {
			s.told = now
			s.send(message{Progress: &stage{done, all}})
			s.out.Flush()
			http.NewResponseController(s.w).Flush()
		}
	}
}

// lines makes a handler of a function that sends much. What it sends goes out at
// once, so it must not hold a transaction of the database meanwhile.
func lines[T any](f func(*http.Request, *sender) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out := bufio.NewWriterSize(w, 1<<16)
		s := &sender{w: w, out: out, lines: json.NewEncoder(out)}
		result, err := f(r, s)
		if err != nil && !s.started {
			fail(w, err)
			return
		}
		last := message{}
		if last.Result, err = encodeResult(result, err); err != nil {
			f, _ := toFault(err)
			last.Kind, last.Error = f.Kind, f.Text
		}
		s.send(last)
		out.Flush()
	}
}

func encodeResult(v any, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// messages asks for an answer that comes bit by bit, hands its messages to take until that
// returns false, and gives the result; the zero T if it did not come to that.
func messages[T any](c *Client, method, path string, body io.Reader, take func(message) bool) (result T, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err = c.stream(ctx, longWait, method, path, body, func(r io.Reader) error {
		for all := json.NewDecoder(bufio.NewReaderSize(r, 1<<16)); ; {
			var m message
			switch err := all.Decode(&m); {
			case errors.Is(err, io.EOF):
				return io.ErrUnexpectedEOF
			case err != nil:
				return err
			case m.Error != "":
				return fault{m.Kind, m.Error}
			case m.Result != nil:
				return json.Unmarshal(m.Result, &result)
			case !take(m):
				return nil
			}
		}
	})
	return result, err
}

// hear hands progress on.
func hear(p accounts.Progress) func(message) bool {
	return func(m message) bool {
		if m.Progress != nil && p != nil {
			p(m.Progress.Done, m.Progress.All)
		}
		return true
	}
}
