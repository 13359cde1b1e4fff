package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// Bounds of the operator's list of passwords.
const (
	passwordsSize = 64 << 10 // bytes of the file
	passwordSize  = 128      // bytes of one
)

// readPasswords reads the file that scan.passwords names: a password on each
// line, "#" before a comment. Its errors tell no password.
func readPasswords(file string) ([]string, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("scan.passwords: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, passwordsSize+1))
	if err != nil {
		return nil, fmt.Errorf("scan.passwords: %w", err)
	}
	if len(text) > passwordsSize {
		return nil, fmt.Errorf("scan.passwords: %s is larger than %d bytes", file, passwordsSize)
	}
	var list []string
	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\uFEFF"))) {
		number++
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0 || line[0] == '#':
		case len(line) > passwordSize:
			return nil, fmt.Errorf("scan.passwords: %s:%d: longer than %d bytes", file, number, passwordSize)
		case !utf8.Valid(line):
			return nil, fmt.Errorf("scan.passwords: %s:%d: not UTF-8; the file has to be saved as UTF-8", file, number)
		default:
			list = append(list, string(line))
		}
	}
	return list, nil
}
