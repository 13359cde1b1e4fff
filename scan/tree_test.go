package scan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// treeOf scans a file and writes its tree, a line for each node.
func treeOf(t *testing.T, e *Engine, raw string) (lines []string) {
	t.Helper()
	v, err := e.Run(t.Context(), Job{Raw: []byte(raw), File: true, Name: "f"})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range v.Tree {
		words := []string{strings.Repeat("-", n.Depth), n.Part, n.How, n.Name}
		if n.Again {
			words = append(words, "again")
		}
		words = append(words, n.Malware...)
		words = append(words, n.Unchecked...)
		lines = append(lines, strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " "))
	}
	return lines
}

func TestTreeShowsAllThatWasRead(t *testing.T) {
	zipped := zipOf(t, "in.exe", "VIRUS")
	for _, tt := range []struct {
		name, raw string
		want      []string
	}{
		{"a file", zipped, []string{"f", "- zip in.exe V"}},
		{"a message", mail(multipart("mixed", "b", text("Hello."), attach("a.zip", zipped))),
			[]string{"", "- 1", "-- identity", "- 2 a.zip", "-- base64 a.zip", "--- zip in.exe V"}},
		{"the same twice", mail(multipart("mixed", "b", attach("a.exe", "VIRUS"), attach("a.exe", "VIRUS"))),
			[]string{"", "- 1 a.exe", "-- base64 a.exe V", "- 2 a.exe", "-- base64 a.exe again V"}},
		{"a message in an encoding", mail(multipart("mixed", "b", encodedMail(mail(attach("a.exe", "VIRUS"))))),
			[]string{"", "- 1", "-- base64", "--- base64 a.exe V", "-- identity"}},
		{"what is hidden in a text", mail(text("hi there,\r\n\r\nso long, and bye\r\n\r\n" + base64Lines("This is a VIRUS in a text, 0123456789, of some length."))),
			[]string{"", "- identity", "-- base64 V"}},
		{"what only the blind reading shows", "Subject: a\r\nContent-Transfer-Encoding: x-unknown\r\n\r\nhi there,\r\n\r\nso long, and bye;\r\n" + base64Lines("This is a VIRUS, 0123456789.") + "\r\n",
			[]string{"", "- identity", "read again without its structure", "- base64 V", "- base64, line by line again V"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, _ := standIn(t, Options{}, nil)
			if got := treeOf(t, e, tt.raw); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
	e, _ := standIn(t, Options{}, nil)
	if v := run(t, e, []byte(mail(text("Hello.")))); v.Tree != nil {
		t.Errorf("a message that is delivered has a tree: %+v", v.Tree)
	}
}

func TestTreeIsBounded(t *testing.T) {
	var parts []string
	for i := range MaxNodes {
		parts = append(parts, attach(fmt.Sprint(i), fmt.Sprint("content ", i)))
	}
	e, _ := standIn(t, Options{}, nil)
	if got := treeOf(t, e, mail(multipart("mixed", "b", parts...))); len(got) != MaxNodes {
		t.Errorf("%d nodes", len(got))
	}
}
