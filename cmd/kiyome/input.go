package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// openInput opens a file, a named pipe, or standard input for "-". Opening and reading end
// with ctx, also while nobody writes to the pipe or types.
func openInput(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == "-" {
		return input{ctx, os.Stdin}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	switch info.Mode().Type() {
	case 0:
		return os.Open(name)
	case fs.ModeNamedPipe:
		f, err := unlessDone(ctx, func() (*os.File, error) { return os.Open(name) })
		return input{ctx, f}, err
	case fs.ModeDir:
		return nil, fmt.Errorf("%s is a folder", name)
	}
	return nil, fmt.Errorf("%s is neither a file nor a pipe", name)
}

// input is what may keep its reader waiting for ever.
type input struct {
	ctx  context.Context
	file *os.File
}

// Read gives what comes, or errInterrupted.
func (i input) Read(b []byte) (int, error) {
	// A reading that nobody waits for any more must not write into b.
	got, err := unlessDone(i.ctx, func() ([]byte, error) {
		got := make([]byte, len(b))
		n, err := i.file.Read(got)
		return got[:n], err
	})
	return copy(b, got), err
}

// Close closes a named pipe; standard input stays.
func (i input) Close() error {
	if i.file == os.Stdin {
		return nil
	}
	return i.file.Close()
}

// unlessDone gives what f gives, or errInterrupted when ctx ends first: f is then left behind.
func unlessDone[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, errInterrupted
	}
}
