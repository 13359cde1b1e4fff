package testdata

import (
	"bytes"
	"os"
	"testing"
)

func TestEveryMessageIsWhole(t *testing.T) {
	for _, name := range Names() {
		m, err := Mail(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if bytes.Contains(m, []byte("{{")) || !bytes.HasSuffix(m, []byte("\r\n")) {
			t.Errorf("%s: not expanded, or no CRLF at its end", name)
		}
	}
}

func TestNoMessageInTheTreeAlarmsAScanner(t *testing.T) {
	for _, name := range Names() {
		text, err := os.ReadFile("mail/" + name + ".eml")
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, EICAR()[20:40]) {
			t.Errorf("%s holds the test virus in the clear", name)
		}
	}
}
