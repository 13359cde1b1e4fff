package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
	"golang.org/x/text/width"

	"kiyome/accounts"
)

// style colours text, or leaves it as it is.
type style struct{ on bool }

// styleOf colours what goes to a terminal, unless NO_COLOR asks not to.
func styleOf(w io.Writer) style {
	return style{isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (s style) code(n int, text string) string {
	if !s.on {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", n, text)
}

func (s style) bold(text string) string   { return s.code(1, text) }
func (s style) dim(text string) string    { return s.code(2, text) }
func (s style) red(text string) string    { return s.code(31, text) }
func (s style) green(text string) string  { return s.code(32, text) }
func (s style) yellow(text string) string { return s.code(33, text) }
func (s style) cyan(text string) string   { return s.code(36, text) }

// columns is the width of a text on a terminal: East Asian characters take two.
func columns(s string) int {
	n := 0
	for _, r := range s {
		switch k := width.LookupRune(r).Kind(); {
		case unicode.Is(unicode.Mn, r):
		case k == width.EastAsianWide || k == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// pad fills a text up with spaces.
func pad(s string, to int) string { return s + strings.Repeat(" ", max(0, to-columns(s))) }

// fold breaks a text into lines of at most to columns, between words where there are any.
func fold(s string, to int) []string {
	var lines []string
	for columns(s) > to {
		cut, col, space := 0, 0, 0
		for i, r := range s {
			if col += columns(string(r)); col > to {
				break
			}
			cut = i + len(string(r))
			if r == ' ' {
				space = cut
			}
		}
		if space > 0 {
			cut = space
		}
		if cut == 0 {
			break // narrower than one character
		}
		lines = append(lines, strings.TrimRight(s[:cut], " "))
		s = s[cut:]
	}
	return append(lines, s)
}

// isHarmful reports characters that move the cursor, end a line or turn the reading direction.
func isHarmful(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// progress shows how far a scan of several or large files is, on standard error
// when that is a terminal. Its zero value shows nothing.
type progress struct {
	mu   sync.Mutex
	bar  *progressbar.ProgressBar
	read bool // the bar counts bytes that are read; else files
}

// progressFrom is the size in bytes from which one file is worth a bar.
const progressFrom = 64 << 20

func newProgress(files []string) *progress {
	p := &progress{}
	if !isTerminal(os.Stderr) {
		return p
	}
	options := []progressbar.Option{
		progressbar.OptionSetWriter(os.Stderr), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100_000_000),
		progressbar.OptionSetDescription("scanning"),
	}
	if len(files) > 1 {
		p.bar = progressbar.NewOptions(len(files), append(options, progressbar.OptionShowCount())...)
	} else if info, err := os.Stat(files[0]); err == nil && info.Size() >= progressFrom {
		p.read = true
		p.bar = progressbar.NewOptions64(info.Size(), append(options, progressbar.OptionShowBytes(true))...)
	}
	return p
}

// Reader counts what is read of a large file.
func (p *progress) Reader(r io.Reader) io.Reader {
	if !p.read {
		return r
	}
	return io.TeeReader(r, p.bar)
}

// Done counts a file.
func (p *progress) Done() {
	if p.bar != nil && !p.read {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.bar.Add(1) // it fails only when standard error does
	}
}

// Clear makes room for a line of output.
func (p *progress) Clear() {
	if p.bar != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.bar.Clear()
	}
}

// Close removes the bar.
func (p *progress) Close() {
	if p.bar != nil {
		p.bar.Finish()
	}
}

// newBar shows how far the work on accounts is, on standard error when that is a
// terminal. While it is not known how many there are, it counts. end removes it.
func newBar(what string) (tell accounts.Progress, end func()) {
	if !isTerminal(os.Stderr) {
		return nil, func() {}
	}
	var bar *progressbar.ProgressBar
	size := 0
	end = func() {
		if bar != nil {
			bar.Finish() // it fails only when standard error does
		}
	}
	return func(done, all int) {
		if bar == nil || all != size {
			end()
			size = all
			if all == 0 {
				all = -1
			}
			bar = progressbar.NewOptions(all, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionClearOnFinish(),
				progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionShowCount(), progressbar.OptionSetDescription(what))
		}
		bar.Set(done)
	}, end
}
