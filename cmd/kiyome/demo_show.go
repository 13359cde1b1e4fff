package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // Japanese charsets
	"golang.org/x/term"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/config"
)

// show prints the demonstration.
type show struct {
	out    io.Writer
	style  style
	config *config.Config
	width  int             // columns
	seen   map[string]bool // files that were shown

	infected []heldPart // of the message that is shown, as the checked mailbox tells
}

func newShow(out io.Writer, c *config.Config) *show {
	s := &show{out: out, style: styleOf(out), config: c, width: 88, seen: make(map[string]bool)}
	if f, ok := out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			s.width = min(max(w, 48), 96)
		}
	}
	return s
}

// held is a message in a mailbox, as a mail program would show it.
type held struct {
	subject, status string
	report          bool
	text            string // of the first text part
	parts           []heldPart
}

type heldPart struct {
	label string // file name, or the type of the text
	file  bool
	size  int64
}

// read takes a message apart. The messages are our own, so a library that
// stops at the first oddity will do.
func read(raw []byte) (held, error) {
	m, err := message.Read(bytes.NewReader(raw))
	if err != nil {
		return held{}, err
	}
	h := held{status: m.Header.Get("X-Virus-Status"), report: m.Header.Get("Auto-Submitted") != ""}
	if h.subject, err = m.Header.Text("Subject"); err != nil {
		return held{}, err
	}
	err = m.Walk(func(_ []int, part *message.Entity, err error) error {
		if err != nil || part.MultipartReader() != nil {
			return err
		}
		kind, params, _ := part.Header.ContentType()
		_, disposition, _ := part.Header.ContentDisposition()
		text, err := io.ReadAll(part.Body)
		p := heldPart{label: kind, size: int64(len(text))}
		for _, name := range []string{disposition["filename"], params["name"]} {
			if name != "" {
				p.label, p.file = name, true
			}
		}
		if h.text == "" && !p.file {
			h.text = string(text)
		}
		h.parts = append(h.parts, p)
		return err
	})
	return h, err
}

// arrived gives the messages that came into a mailbox since it was asked last.
func (s *show) arrived(address string) ([]held, error) {
	maildir, err := accounts.ExpandPath(s.config.Mailboxes.Path, address)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(maildir, "new", "*"))
	if err != nil {
		return nil, err
	}
	var all []held
	for _, file := range files {
		if s.seen[file] {
			continue
		}
		s.seen[file] = true
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		h, err := read(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, h)
	}
	// The message before its report, as one would tell it.
	slices.SortStableFunc(all, func(a, b held) int { return count(a.report) - count(b.report) })
	return all, nil
}

func (s *show) printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

func (s *show) opening(address string) {
	s.printf("\n%s  LMTP on %s, two mailboxes:\n\n", s.style.bold("kiyome"), address)
	s.printf("  %s  %s\n", pad(demoSubscribed, 18), s.style.green("with the virus check"))
	s.printf("  %s  %s\n", pad(demoPlain, 18), s.style.dim("without"))
}

// delivery shows what each mailbox holds of one message.
func (s *show) delivery(n int, what string, raw []byte) error {
	original, err := read(raw)
	if err != nil {
		return err
	}
	s.infected = nil
	title := fmt.Sprintf(" %d  %s ", n, what)
	s.printf("\n%s%s\n", s.style.bold(title), s.style.dim(strings.Repeat("─", max(0, s.width-columns(title)))))
	for _, address := range []string{demoSubscribed, demoPlain} {
		messages, err := s.arrived(address)
		if err != nil {
			return err
		}
		s.printf("\n  %s\n", s.style.cyan(address))
		if !slices.ContainsFunc(messages, func(h held) bool { return !h.report }) {
			s.infected = append(s.infected, original.parts...)
			s.printf("    %s\n", s.style.red("✂ "+pad(original.subject, 32)+"  nothing of the message is left"))
		}
		for _, h := range messages {
			s.message(h, original)
		}
		if len(messages) == 0 {
			return errors.New(address + " got nothing")
		}
	}
	return nil
}

// message shows one message of a mailbox, beside what was sent.
func (s *show) message(h, original held) {
	status := s.style.dim("delivered as it came, not checked")
	if h.status != "" {
		status = "X-Virus-Status: " + s.status(h.status)
	}
	s.printf("    ✉ %s  %s\n", s.style.bold(pad(h.subject, 32)), status)
	if h.report {
		s.box(h.text)
		return
	}
	for _, p := range original.parts {
		switch {
		case !slices.Contains(h.parts, p):
			s.infected = append(s.infected, p)
			s.printf("      %s\n", s.style.red("✂ "+pad(p.label, 30)+"  removed"))
		case slices.Contains(s.infected, p):
			s.printf("      %s\n", s.style.red("⚠ "+pad(p.label, 30)+"  "+sizeText(p.size)+", infected"))
		default:
			s.printf("      %s  %s\n", pad(p.label, 32), s.style.dim(sizeText(p.size)))
		}
	}
}

// status colours a verdict.
func (s *show) status(v string) string {
	switch v {
	case "Clean":
		return s.style.green(v)
	case "Infected":
		return s.style.red(v)
	}
	return s.style.yellow(v)
}

// box prints a text in a frame.
func (s *show) box(text string) {
	const indent = "      "
	inner := s.width - len(indent) - 4
	edge := strings.Repeat("─", inner+2)
	s.printf("%s%s\n", indent, s.style.dim("┌"+edge+"┐"))
	for line := range strings.Lines(strings.TrimRight(text, "\r\n")) {
		for _, part := range fold(strings.TrimRight(line, "\r\n"), inner) {
			s.printf("%s%s %s %s\n", indent, s.style.dim("│"), pad(part, inner), s.style.dim("│"))
		}
	}
	s.printf("%s%s\n", indent, s.style.dim("└"+edge+"┘"))
}

// closing says how to go on.
func (s *show) closing(address string, keep bool) {
	host, port, _ := strings.Cut(address, ":")
	self := os.Args[0]
	s.printf("\n%s\n\n", s.style.dim(strings.Repeat("─", s.width)))
	s.printf("%s on %s. Send it any message:\n\n", s.style.bold("Serving"), address)
	s.printf("  python3 -c 'import smtplib; smtplib.LMTP(%q,%s).sendmail(\"me@example.com\",%q,open(\"FILE\",\"rb\").read())'\n",
		host, port, demoSubscribed)
	s.printf("  swaks --protocol LMTP --server %s --from me@example.com --to %s --data @FILE\n\n", address, demoSubscribed)
	s.printf("What arrives is below %s.\nThe other commands work on this server too:\n\n", mailRoot(s.config.Mailboxes.Path))
	s.printf("  %s --config %s account subscribe %s\n", self, s.config.File, demoPlain)
	s.printf("  %s --config %s status\n\n", self, s.config.File)
	end := "stops it and removes everything"
	if keep {
		end = "stops it; what was made stays"
	}
	s.printf("%s %s.\n\n", s.style.bold("^C"), end)
}
