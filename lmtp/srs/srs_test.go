package srs

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var (
	now  = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	ours = &SRS{Domain: "fwd.example.jp", Secrets: []string{"0123456789abcdef", "the one before it"}}
	b    = &SRS{Domain: "b.example", Secrets: []string{"another secret of b"}}
	c    = &SRS{Domain: "c.example", Secrets: []string{"another secret of c"}}
)

const day24 = 24 * time.Hour

func TestThereAndBack(t *testing.T) {
	for _, sender := range []string{"taro@example.com", "Taro.Y+tag=x@Example.COM", "a b@example.com", "太郎@例え.jp", "srs@x.example", "SRS0@x.example", "srs2=x@x.example"} {
		r := ours.Rewrite(sender, now)
		if !strings.HasPrefix(r, "SRS0=") || !strings.HasSuffix(r, "@fwd.example.jp") || !ours.Ours(r) {
			t.Errorf("%s became %s", sender, r)
		}
		for _, way := range []string{r, strings.ToLower(r), strings.Replace(r, "SRS0=", "SRS0+", 1)} {
			if got, err := ours.Reverse(way, now.Add(20*day24)); err != nil || !strings.EqualFold(got, sender) {
				t.Errorf("%s leads to %s, %v; want %s", way, got, err, sender)
			}
		}
	}
}

func TestWhatIsKept(t *testing.T) {
	for _, sender := range []string{"taro@fwd.example.jp", "taro@FWD.example.jp", "", "taro", "@x", "x@", "a@b=c", strings.Repeat("x", 300) + "@example.com", "SRS1=hash@x.example"} {
		if got := ours.Rewrite(sender, now); got != sender {
			t.Errorf("%q became %q", sender, got)
		}
	}
}

// A bounce goes back to the first forwarder, over however many there were.
func TestForwardersInARow(t *testing.T) {
	first := ours.Rewrite("taro@example.com", now)
	second := b.Rewrite(first, now)
	third := c.Rewrite(second, now)
	if !strings.HasPrefix(second, "SRS1=") || !strings.Contains(second, "=fwd.example.jp==") || !strings.HasSuffix(third, "@c.example") || len(third) > len(second) {
		t.Errorf("%s\n%s", second, third)
	}
	for _, step := range []struct {
		at   *SRS
		from string
	}{{b, second}, {c, third}} {
		back, err := step.at.Reverse(step.from, now)
		if err != nil || back != first {
			t.Errorf("%s leads to %s, %v; want %s", step.from, back, err, first)
		}
	}
	if back, err := ours.Reverse(first, now); err != nil || back != "taro@example.com" {
		t.Errorf("%s, %v", back, err)
	}
}

func TestRefused(t *testing.T) {
	good := ours.Rewrite("taro@example.com", now)
	signed := func(rest string) string {
		return "SRS0=" + ours.hash(ours.Secrets[0], rest) + "=" + rest + "@fwd.example.jp"
	}
	for _, tt := range []struct {
		name, address string
		at            time.Time
		err           error
	}{
		{"as it is", good, now, nil},
		{"from a day to come", good, now.Add(-day24), nil},
		{"from days to come", good, now.Add(-2 * day24), ErrOld},
		{"21 days", good, now.Add(21 * day24), nil},
		{"22 days", good, now.Add(22 * day24), ErrOld},
		{"years", good, now.Add(700 * day24), ErrOld},
		{"another sender", strings.Replace(good, "taro", "jiro", 1), now, ErrForeign},
		{"another domain", strings.Replace(good, "example.com", "example.org", 1), now, ErrForeign},
		{"another day", strings.Replace(good, day(now), day(now.Add(day24)), 1), now, ErrForeign},
		{"no hash", "SRS0==" + day(now) + "=example.com=taro@fwd.example.jp", now, ErrForeign},
		{"nothing", "SRS0=@fwd.example.jp", now, ErrForeign},
		{"elsewhere", "SRS0=x@example.com", now, ErrForeign},
		{"somebody else's secret", (&SRS{Domain: ours.Domain, Secrets: []string{"0123456789abcdeF"}}).Rewrite("taro@example.com", now), now, ErrForeign},
		{"the secret before", (&SRS{Domain: ours.Domain, Secrets: ours.Secrets[1:]}).Rewrite("taro@example.com", now), now, nil},
		{"signed, without a domain", signed(day(now) + "==taro"), now, ErrForeign},
		{"signed, without a day", signed("example.com"), now, ErrForeign},
		{"signed, with a day that is none", signed("!!=example.com=taro"), now, ErrOld},
		{"a SRS1 of nobody", "SRS1=ABCDEFGH=example.com==x@fwd.example.jp", now, ErrForeign},
	} {
		if _, err := ours.Reverse(tt.address, tt.at); !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: %s: %v, want %v", tt.name, tt.address, err, tt.err)
		}
	}
}

// FuzzReverse: no address leads anywhere but those that were made.
func FuzzReverse(f *testing.F) {
	f.Add("SRS0=ABCDEFGH=AA=example.com=taro@fwd.example.jp")
	f.Add("SRS1=ABCDEFGH=b.example==x@fwd.example.jp")
	f.Add(ours.Rewrite("taro@example.com", now))
	made := ours.Rewrite("taro@example.com", now)
	f.Fuzz(func(t *testing.T, address string) {
		back, err := ours.Reverse(address, now)
		if err == nil && !strings.EqualFold(back, "taro@example.com") {
			t.Errorf("%q leads to %q, and only %q was made", address, back, made)
		}
		again := ours.Rewrite(address, now)
		if again == address {
			return
		}
		if got, err := ours.Reverse(again, now); err != nil || !strings.HasPrefix(again, "SRS1") && got != address {
			t.Errorf("%q became %q, which leads to %q, %v", address, again, got, err)
		}
	})
}
