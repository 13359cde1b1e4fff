package main_test

import (
	"strings"
	"testing"

	"kiyome/testdata/evasion"
)

// TestEvasionsThroughPostfix sends messages that hide the test virus, each with its
// clean twin, all the way to a mailbox with the service and to one without.
func TestEvasionsThroughPostfix(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Postfix and Dovecot")
	}
	h := newHouse(t)
	const with, without = "taro@example.jp", "jiro@example.jp"
	h.account("add", with)
	h.account("subscribe", with)
	h.account("add", without)
	h.startAll()

	report := []string{"X-Virus-Status: Infected\r\n"}
	cleaned := append(report, "X-Virus-Status: Cleaned\r\n")
	for _, tt := range []struct {
		name string
		want []string // what arrives of the infected one where the service is
	}{
		{"boundary/two fields, first", cleaned},
		{"boundary/two fields, last", cleaned},
		{"boundary/two parameters, last", cleaned},
		{"boundary/text first, then multipart", cleaned},
		{"base64/padding on every line", cleaned},
		{"base64/illegal lines between", cleaned},
		{"uuencode/no begin", report},
		{"yEnc/in a text", report},
		{"BinHex/in a text", report},
		{"yEnc/in an attachment", cleaned},
		{"BinHex/octet-stream", cleaned},
		{"message/message/rfc822, base64", cleaned},
		{"S/MIME/BER, chunks of 100", report},
		{"HTML/script, base64 added to a variable", cleaned},
		{"password/password:", cleaned},
		{"structure/the blank line before base64 missing", cleaned},
		{"structure/a part in the preamble", report},
		{"structure/base64 in the epilogue", report},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := evasionCase(tt.name)
			infected, clean := c.Build(evasion.EICAR()), c.Build(evasion.Clean())
			for _, got := range h.exchange(t, infected, map[string][]string{with: tt.want, without: {"untouched"}})[with] {
				if line := payloadLine(string(infected), string(clean), got); line != "" {
					t.Errorf("what hides the virus arrives: %q in\n%.1500s", line, got)
				}
			}
			h.exchange(t, clean, map[string][]string{with: {"X-Virus-Status: Clean\r\n"}, without: {"untouched"}})
		})
	}
	h.parts(t, with, func(_ int, raw string, files [][]byte) {
		for _, file := range files {
			if isPayload(file) {
				t.Errorf("%s: the virus is seen in\n%.1500s", with, raw)
			}
		}
	})
}

// exchange sends a message to mailboxes, checks what arrives, and gives it.
func (h *house) exchange(t *testing.T, msg []byte, boxes map[string][]string) map[string][]string {
	t.Helper()
	before := h.counts(t, boxes)
	var rcpts []string
	for box := range boxes {
		rcpts = append(rcpts, box)
	}
	h.send(t, "", rcpts, "", msg)
	got := map[string][]string{}
	for box, want := range boxes {
		got[box] = h.arrived(t, box, before[box], len(want))
		h.check(t, box, msg, got[box], want)
	}
	return got
}

// payloadLine gives a line of a message that arrived which only the infected twin has;
// "" if there is none.
func payloadLine(infected, clean, got string) string {
	harmless := map[string]bool{}
	for line := range strings.Lines(clean) {
		harmless[line] = true
	}
	for line := range strings.Lines(infected) {
		if !harmless[line] && strings.Contains(got, line) {
			return line
		}
	}
	return ""
}
