package mime

import "bytes"

// Line ends are CRLF, LF and CR, in any mixture. Up to maxCR carriage returns
// before a line feed belong to it: what some gateways make of CRLF. The bound
// keeps the search for a line end linear.
const maxCR = 3

// indexEOL gives the index of the first CR or LF of b, or -1. It looks for both
// in growing windows: searching all of b for one of them, line by line, would
// take quadratic time where only the other one is used.
func indexEOL(b []byte) int {
	for at, size := 0, 128; at < len(b); at, size = at+size, size*2 {
		window := b[at:min(at+size, len(b))]
		lf := bytes.IndexByte(window, '\n')
		if lf >= 0 {
			window = window[:lf]
		}
		if cr := bytes.IndexByte(window, '\r'); cr >= 0 {
			return at + cr
		}
		if lf >= 0 {
			return at + lf
		}
	}
	return -1
}

// line measures the line of b that starts at at: its text ends at end, the
// next line starts at next.
func line(b []byte, at int) (end, next int) {
	n := indexEOL(b[at:])
	if n < 0 {
		return len(b), len(b)
	}
	end = at + n
	return end, afterEOL(b, end)
}

// afterEOL gives the end of the line end that starts at b[at].
func afterEOL(b []byte, at int) int {
	lf := at
	for lf < len(b) && b[lf] == '\r' && lf-at < maxCR {
		lf++
	}
	if lf < len(b) && b[lf] == '\n' {
		return lf + 1
	}
	return at + 1
}

// beforeEOL gives the start of the line end that ends at at; at itself where
// there is none.
func beforeEOL(b []byte, at int) int {
	switch {
	case at == 0 || !isEOL(b[at-1]):
		return at
	case b[at-1] == '\r':
		return at - 1
	}
	start := at - 1
	for start > 0 && b[start-1] == '\r' && at-1-start < maxCR {
		start--
	}
	return start
}

func isEOL(c byte) bool { return c == '\r' || c == '\n' }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// trimBlank cuts spaces, tabs and line ends off both ends.
func trimBlank(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }
