package lmtp

import (
	"bytes"
	"strings"

	"kiyome/scan"
)

// facts are what the log and the report say of a message, read off its header
// without parsing it: lines only.
type facts struct {
	messageID string // with its angle brackets; "" if there is none, or an odd one
	queueID   string // the MTA's, from the topmost Received
}

// factsHead is how much of a message is looked at for them.
const factsHead = 16 << 10

// headerFacts reads the facts. What cannot be read is empty.
func headerFacts(msg *scan.Message) facts { return readFacts(headOf(msg, factsHead)) }

// headOf gives the first bytes of a message, at most n; fewer where they cannot be read.
func headOf(msg *scan.Message, n int64) []byte {
	head := make([]byte, min(msg.Size(), n))
	k, _ := msg.ReadAt(head, 0)
	return head[:k]
}

// headerOf gives the header of a message with the empty line that ends it, at most n bytes.
func headerOf(msg *scan.Message, n int64) []byte {
	head := headOf(msg, n)
	for at := 0; ; {
		i := bytes.IndexByte(head[at:], '\n')
		if i < 0 {
			return head
		}
		if line := head[at : at+i]; len(bytes.TrimSuffix(line, []byte("\r"))) == 0 {
			return head[:at+i+1]
		}
		at += i + 1
	}
}

func readFacts(head []byte) facts {
	var f facts
	received := false
	for field := range fields(head) {
		name, value, ok := strings.Cut(field, ":")
		switch {
		case !ok:
		case strings.EqualFold(name, "Message-ID") && f.messageID == "":
			f.messageID = messageID(strings.TrimSpace(value))
		case strings.EqualFold(name, "Received") && !received:
			received = true
			f.queueID = queueID(value)
		}
	}
	return f
}

// fields yields the header fields of head, unfolded. A field cut off by the end is left out.
func fields(head []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var field strings.Builder
		for {
			i := bytes.IndexByte(head, '\n')
			if i < 0 {
				return
			}
			line := bytes.TrimSuffix(head[:i], []byte("\r"))
			head = head[i+1:]
			if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
				field.Write(line)
				continue
			}
			if field.Len() > 0 && !yield(field.String()) || len(line) == 0 {
				return
			}
			field.Reset()
			field.Write(line)
		}
	}
}

// messageID gives back what looks like one: it goes into the log and into the References of a report.
func messageID(v string) string {
	if len(v) < 3 || len(v) > 500 || v[0] != '<' || v[len(v)-1] != '>' || strings.ContainsFunc(v, notVisible) {
		return ""
	}
	return v
}

// queueID finds "… id QUEUEID …" (RFC 5321, section 4.4).
func queueID(received string) string {
	words := strings.Fields(received)
	for i, w := range words[:max(len(words)-1, 0)] {
		id := strings.TrimRight(words[i+1], ";")
		if strings.EqualFold(w, "id") && len(id) <= 64 && !strings.ContainsFunc(id, notVisible) {
			return id
		}
	}
	return ""
}

// notVisible holds for everything but printable ASCII.
func notVisible(r rune) bool { return r <= ' ' || r > '~' }
