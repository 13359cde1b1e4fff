package scan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"kiyome/rules"
	"kiyome/testdata"
)

func TestWhatIsCleanIsNotMatchedAgain(t *testing.T) {
	zipped := zipOf(t, "a.txt", "some text", "b.txt", "some more")
	part := func(name, content string) string {
		return mail(multipart("mixed", "b", text("Hello."), attach(name, content)))
	}
	for _, tt := range []struct {
		name, first, second string
		want                int // objects that are matched of the second
	}{
		{"the same", part("a.zip", zipped), part("a.zip", zipped), 0},
		{"another text beside it", part("a.zip", zipped), strings.Replace(part("a.zip", zipped), "Hello.", "Good day.", 1), 1},
		{"another name", part("a.zip", zipped), part("b.zip", zipped), 3},
		{"in another container", part("a.txt", "some text"), part("a.zip", zipped), 3},
		{"infected", part("a.exe", "VIRUS"), part("a.exe", "VIRUS"), 1},
		{"infected in a container", part("a.zip", zipOf(t, "a.txt", "it", "b.exe", "VIRUS")), part("a.zip", zipOf(t, "a.txt", "it", "b.exe", "VIRUS")), 2},
		{"damaged", part("a.zip", damaged(zipOf(t, "in.txt", "some text"))), part("a.zip", damaged(zipOf(t, "in.txt", "some text"))), 2},
		{"not matched to its end", part("a.txt", "BAD"), part("a.txt", "BAD"), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, s := standIn(t, Options{}, func() ([]rules.Match, error) { return nil, errors.New("oh") })
			first := run(t, e, []byte(tt.first))
			s.seen = nil
			second := run(t, e, []byte(tt.second))
			if len(s.seen) != tt.want {
				t.Errorf("matched %q, want %d", s.seen, tt.want)
			}
			if tt.first == tt.second && (first.Outcome != second.Outcome || fmt.Sprint(first.Findings, first.Unchecked) != fmt.Sprint(second.Findings, second.Unchecked)) {
				t.Errorf("first %s\nthen %s", describe([]byte(tt.first), first), describe([]byte(tt.second), second))
			}
		})
	}
}

// TestAnEngineIsNoOtherAfterManyMessages scans all there is with one engine, which goes on
// with its memory, and each message with a fresh one.
func TestAnEngineIsNoOtherAfterManyMessages(t *testing.T) {
	const rule = `rule Eicar { strings: $a = "EICAR-STANDARD-ANTIVIRUS-TEST-FILE" condition: $a }`
	var mails [][]byte
	for _, name := range testdata.Names() {
		mails = append(mails, testdata.MustMail(name))
	}
	samples, err := filepath.Glob("../testdata/containers/*")
	if err != nil || len(samples) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for i, name := range samples {
		if i%4 > 0 {
			continue
		}
		if sample, err := os.ReadFile(name); err == nil {
			mails = append(mails, []byte(mail(multipart("mixed", "b", text("Hello."), attach("sample.bin", string(sample))))))
		}
	}
	one := testEngine(t, Options{}, rule)
	for i, raw := range mails {
		fresh, err := NewEngine(one.set, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, want := run(t, one, raw), run(t, fresh, raw)
		fresh.Close()
		got.Objects, got.Bytes = want.Objects, want.Bytes // what is known is not matched again
		if !reflect.DeepEqual(got, want) {
			t.Errorf("message %d of %d bytes:\n%s\nwant %s", i, len(raw), describe(raw, got), describe(raw, want))
		}
	}
}

func TestRulesThatAskForTheTimeAreAskedAgain(t *testing.T) {
	const now = "import \"time\"\nrule Now { condition: time.now() > 0xffffffff }"
	for _, tt := range []struct {
		name, rule string
		want       int
	}{
		{"none", `rule Other { strings: $a = "time" condition: $a }`, 0},
		{"one", now, 1},
	} {
		e := testEngine(t, Options{}, tt.rule)
		message := []byte(mail(text("Hello.")))
		run(t, e, message)
		if got := run(t, e, message).Objects; got != tt.want {
			t.Errorf("%s: %d objects matched again, want %d", tt.name, got, tt.want)
		}
	}
}

// What is not looked into may hold the password of something else.
func TestPasswordInWhatWasCleanBefore(t *testing.T) {
	const rule = `rule Marker { strings: $a = "KIYOME-MARKER" condition: $a }`
	e := testEngine(t, Options{}, rule)
	note := attach("note.zip", zipOf(t, "password.txt", "The password is: kiyome\r\n"))
	for range 2 {
		if v := run(t, e, []byte(mail(multipart("mixed", "b", text("Hello."), note)))); v.Outcome != Clean {
			t.Fatalf("got %q", v.Outcome)
		}
	}
	message := []byte(mail(multipart("mixed", "b", text("Hello."), note, attach("sealed.zip", sealedZip(t)))))
	if v := run(t, e, message); len(v.Findings) == 0 {
		t.Errorf("got %s", describe(message, v))
	}
}

func TestWhatWasNotLookedIntoIsNotRemembered(t *testing.T) {
	e, s := standIn(t, Options{}, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	answer := s.answer
	s.answer = func(o rules.Object) ([]rules.Match, error) {
		cancel(context.DeadlineExceeded)
		return answer(o)
	}
	message := []byte(mail(multipart("mixed", "b", attach("a.zip", zipOf(t, "a.exe", "VIRUS")))))
	if _, err := e.Run(ctx, Job{Raw: message}); err == nil {
		t.Error("no error of a scan that was cancelled")
	}
	s.answer = answer
	if v := run(t, e, message); len(v.Findings) != 1 {
		t.Errorf("got %s", describe(message, v))
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	var c cleanObjects
	key := func(i int) cleanKey { return cleanKeyOf([32]byte{byte(i), byte(i >> 8), byte(i >> 16)}, nil, origin{}) }
	c.add(key(0))
	for i := 1; i < 10*maxClean; i++ {
		c.add(key(i))
		if i%1000 == 0 && !c.has(key(0)) {
			t.Fatalf("what is met again and again was forgotten at %d", i)
		}
	}
	if n := len(c.young) + len(c.old); n > 2*maxClean {
		t.Errorf("%d remembered", n)
	}
	if c.has(key(1)) {
		t.Error("what was met once is remembered for ever")
	}
}
