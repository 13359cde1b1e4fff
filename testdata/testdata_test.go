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
		if bytes.Contains(m, []byte("{{")) {
			t.Errorf("%s: not expanded", name)
		}
		if whole := name != "no-final-crlf"; bytes.HasSuffix(m, []byte("\r\n")) != whole {
			t.Errorf("%s: CRLF at its end: %t", name, !whole)
		}
		if bytes.Count(m, []byte("\n")) != bytes.Count(m, []byte("\r\n")) {
			t.Errorf("%s: a line end that is not CRLF", name)
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
