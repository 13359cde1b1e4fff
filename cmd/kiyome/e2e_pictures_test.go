package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"kiyome/testdata"
)

// TestMembersPageFits shows every page at widths of a telephone and of a desk, in light
// and dark, in both languages: nothing may stand out to the right, and all that can be
// pressed is large enough (WCAG 2.2, 2.5.8). With -pictures DIR it keeps what is shown.
func TestMembersPageFits(t *testing.T) {
	h := newPageHouse(t)
	h.account("add", "taro@example.jp", "--owner", "T1", "--main")
	h.account("add", "hanako@example.jp", "--owner", "T1")
	const long = "a-mailbox-with-quite-a-long-name@example.jp"
	h.account("add", long, "--owner", "T1")
	h.account("subscribe", long, "--at", time.Now().AddDate(0, 0, 20).Format(time.DateOnly))
	h.account("subscribe", "taro@example.jp")
	h.account("subscribe", "hanako@example.jp")
	h.account("subscribe", "hanako@example.jp", "outbound")
	h.account("pause", "hanako@example.jp")
	h.startDovecot()
	h.start()
	for _, name := range []string{"attachment", "body", "rfc2231-sjis", "nestedzip"} {
		h.deliver(t, string(testdata.MustMail(name)), "taro@example.jp")
	}
	b := h.browse(t)
	pages := []struct{ name, path string }{
		{"login", "/login"},
		{"services", "/"},
		{"subscribe", "/mailboxes/taro@example.jp/outbound/subscribe"},
		{"pause", "/mailboxes/taro@example.jp/inbound/pause"},
		{"cancel", "/mailboxes/taro@example.jp/inbound/cancel"},
		{"mailbox", "/mailboxes/hanako@example.jp"},
		{"pending", "/mailboxes/" + long},
		{"removals", "/removals"},
		{"history", "/history"},
		{"settings", "/settings"},
		{"missing", "/nothing"},
	}
	for i, page := range pages {
		if i == 1 {
			b.open("/login").logIn("taro@example.jp", `pass "taro" パス`)
			b.await("/removals", "EICAR-Test-File")
		}
		for _, language := range []string{"ja", "en"} {
			b.open(page.path + "?lang=" + language)
			for _, width := range []int64{360, 1280} {
				b.fits(page.name+"-"+language, width)
			}
		}
	}
}

// misfits lists what stands out of the page, and what is too small to be pressed.
const misfits = `(() => {
	const wrong = [], width = document.documentElement.clientWidth;
	if (document.documentElement.scrollWidth > width) wrong.push("the page is " + document.documentElement.scrollWidth + " wide");
	for (const e of document.querySelectorAll("body *")) {
		const r = e.getBoundingClientRect();
		if (r.right > width + 1 && r.left >= 0 && !e.closest(".scroll")) wrong.push(e.outerHTML.slice(0, 80) + " ends at " + r.right);
		if (e.matches("button, .button, input:not([type=hidden]), nav a") && r.height > 0 && (r.height < 24 || r.width < 20)) wrong.push(e.outerHTML.slice(0, 80) + " is " + r.width + " by " + r.height);
	}
	return JSON.stringify(wrong);
})()`

func (b *browser) fits(name string, width int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, 800))
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](misfits))
	var wrong []string
	if err == nil {
		err = json.Unmarshal([]byte(found), &wrong)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	for _, w := range wrong {
		b.t.Errorf("%s at %d: %s", name, width, w)
	}
	if *pictures == "" {
		return
	}
	for _, look := range []struct{ name, medium, scheme string }{{"light", "", "light"}, {"dark", "", "dark"}, {"print", "print", "light"}} {
		b.emulate(look.medium, look.scheme)
		picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(filepath.Join(*pictures, fmt.Sprintf("%s-%d-%s.png", name, width, look.name)), picture, 0o644)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	b.emulate("", "")
}

// emulate shows pages on a medium, in a scheme of colours, without motion.
func (b *browser) emulate(medium, scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: medium,
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	if err != nil {
		b.t.Fatal(err)
	}
}
