package web

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"kiyome/accounts"
)

// remove has something removed from somebody's mail.
func (h *house) remove(address string, r accounts.Removal) {
	h.t.Helper()
	r.Address = address
	if r.Time.IsZero() {
		r.Time = h.ledger.Now()
	}
	h.removed.Add(r)
}

// removals waits until so many are there of an address.
func (h *house) settled(address string, n int) {
	h.t.Helper()
	for range 500 {
		all, err := h.removed.List(address, time.Time{}, 0, 1000)
		if err != nil {
			h.t.Fatal(err)
		}
		if len(all) == n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Fatalf("%s does not get to %d removals", address, n)
}

func TestWhatWasRemoved(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp", Owner: "T1", Main: true})
	child := h.account(accounts.NewAccount{Address: "hanako@example.jp", Owner: "T1"})
	b := h.member(taro)
	b.get("/removals").has(t, 200, "There is nothing here.", "kept for 90 days")
	h.remove(taro, accounts.Removal{Direction: accounts.Inbound, Sender: "eve@example.com", Subject: `<b onclick="x">請求書</b>`, What: accounts.WhatFile,
		File: "請求書.zip › a.exe", Malware: "EICAR-Test-File", Result: accounts.AttachmentRemoved})
	h.remove(taro, accounts.Removal{Direction: accounts.Inbound, What: accounts.WhatBody, Malware: "Worm.X", Result: accounts.MessageReplaced})
	h.remove(taro, accounts.Removal{Direction: accounts.Outbound, Sender: taro, Subject: "s", What: accounts.WhatUnnamed, Malware: "Y", Result: accounts.MessageReplaced})
	h.remove(taro, accounts.Removal{Direction: accounts.Inbound, Sender: "a@example.com", What: accounts.WhatFile, File: "x.7z", Unchecked: "encrypted", Result: accounts.AttachmentRemoved})
	h.remove(taro, accounts.Removal{Direction: accounts.Inbound, What: "newer", Unchecked: "newer", Result: "newer"})
	h.remove(child, accounts.Removal{Direction: accounts.Inbound, Subject: "private", What: accounts.WhatFile, File: "f", Malware: "Z", Result: accounts.AttachmentRemoved})
	h.settled(taro, 5)
	h.settled(child, 1)
	got := b.get("/removals")
	got.has(t, 200, "2014/11/15 12:00:00", "eve@example.com", "&lt;b onclick=", "請求書.zip › a.exe", "EICAR-Test-File", "removed",
		"mail body", "(no subject)", "(none)", "the whole mail was removed", "a notice was sent in place of the mail", "(attachment without a name)",
		"none (protected by a password, and so not checked)", "not checked to its end", "sent", "received")
	got.lacks(t, "private", "<b onclick")
	c := h.member(child)
	c.get("/removals").has(t, 200, "private")
	c.get("/removals").lacks(t, "請求書")
	h.web.KeptDays = 0
	b.get("/removals").has(t, 200, "No history is kept.")
}

func TestRemovalsArePaged(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	for i := range 2*removalsPage + 5 {
		h.remove(taro, accounts.Removal{Direction: accounts.Inbound, Subject: fmt.Sprintf("mail-%d.", i), What: accounts.WhatBody, Malware: "X", Result: accounts.MessageReplaced})
	}
	h.settled(taro, 2*removalsPage+5)
	b := h.member(taro)
	older := regexp.MustCompile(`href="(/removals\?before=\d+)"`)
	subjects := regexp.MustCompile(`mail-\d+\.`)
	var seen []string
	at := "/removals"
	for pages := 1; ; pages++ {
		got := b.get(at)
		seen = append(seen, subjects.FindAllString(got.text, -1)...)
		next := older.FindStringSubmatch(got.text)
		if strings.Contains(got.text, "Back to the newest") != (pages > 1) {
			t.Errorf("page %d:\n%s", pages, got.text)
		}
		if next == nil {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		at = next[1]
	}
	for i, s := range seen {
		if want := fmt.Sprintf("mail-%d.", 2*removalsPage+4-i); s != want {
			t.Fatalf("line %d is of %s, want %s", i, s, want)
		}
	}
	if len(seen) != 2*removalsPage+5 {
		t.Errorf("%d lines", len(seen))
	}
}

func TestNobodySeesAnEarlierOwners(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp", Owner: "T1"})
	h.change(taro, accounts.Subscribed, accounts.Inbound, time.Time{})
	h.remove(taro, accounts.Removal{Direction: accounts.Inbound, Subject: "secret-subject", What: accounts.WhatBody, Malware: "X", Result: accounts.MessageReplaced})
	h.settled(taro, 1)
	h.member(taro).get("/removals").has(t, 200, "secret-subject")
	h.ledger.add(time.Hour)
	h.change(taro, accounts.Closed, "", time.Time{})
	h.ledger.add(time.Hour)
	h.account(accounts.NewAccount{Address: taro, Owner: "T2"})
	b := h.member(taro)
	b.get("/removals").lacks(t, "secret-subject")
	got := b.get("/history")
	got.has(t, 200, "Mailbox added")
	got.lacks(t, "Subscribed", "closed")
}

func TestTheHistoryOfServices(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp", By: "root"})
	h.change(taro, accounts.Subscribed, accounts.Inbound, time.Time{})
	h.change(taro, accounts.Paused, accounts.Inbound, h.ledger.Now().Add(24*time.Hour))
	b := h.member(taro)
	b.post("/settings", "language", "ja")
	if _, err := h.db.Set(taro, accounts.Settings{Maildir: new("/var/vmail/elsewhere")}, "root"); err != nil {
		t.Fatal(err)
	}
	got := b.get("/history")
	got.has(t, 200, "メール受信時のウイルスチェックのお申し込み", "メール受信時のウイルスチェックの一時停止", "2014年11月16日 12:00", "受付と同時",
		"言語の変更（日本語）", "お客様", "事業者", "設定の変更")
	got.lacks(t, "root", "vmail")
	for range historyMax {
		h.ledger.add(time.Minute)
		if h.get(taro).Outbound.Subscribed {
			h.change(taro, accounts.Cancelled, accounts.Outbound, time.Time{})
		} else {
			h.change(taro, accounts.Subscribed, accounts.Outbound, time.Time{})
		}
	}
	b.get("/history").has(t, 200, "これより前のお手続きは表示していません。")
}

func TestLanguages(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp", Language: "ja"})
	for _, tt := range []struct{ accepts, want string }{
		{"en", "en"}, {"ja", "ja"}, {"ja-JP,en;q=0.5", "ja"}, {"en-GB,ja;q=0.9", "en"}, {"de,en;q=0.1", "en"},
		{"de", "ja"}, {"", "ja"}, {"*", "ja"}, {";;;", "ja"}, {strings.Repeat("a-", 3000), "ja"},
	} {
		b := h.browser()
		b.accepts = tt.accepts
		b.get("/login").has(t, 200, `<html lang="`+tt.want+`">`)
	}
	b := h.browser() // asks for English; the account has Japanese
	b.get("/login").has(t, 200, `<html lang="en">`)
	b.logIn(taro, "secret "+taro).has(t, 200, `<html lang="ja">`, "サービスのご利用状況")
	at := path(taro, accounts.Inbound, "subscribe")
	got := b.get(at + "?lang=en") // the switch shows the same page
	got.has(t, 200, `<html lang="en">`, `name="mark"`)
	if got.path != at {
		t.Errorf("shown %s", got.path)
	}
	b.get("/removals?before=9&lang=en").has(t, 200, `<html lang="en">`)
	b.get("/history?lang=xx").has(t, 200, `<html lang="en">`)
	b.post("/settings", "language", "ja").has(t, 200, `<html lang="ja">`, "言語の設定を変更しました。")
	b.post("/settings", "language", "en").has(t, 200, `<html lang="en">`, "The language was changed.")
	if got := h.get(taro).Language; got != "en" {
		t.Errorf("reports are in %s", got)
	}
	b.post("/settings", "language", "fr").has(t, http.StatusBadRequest)
	b.post("/settings").has(t, http.StatusBadRequest)
	h.says("what=language", "language=en", "address=taro@example.jp")
}

func TestTheSwitchLeadsNowhereElse(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, p := range []string{"//evil.example/?lang=en", "/%2fevil.example/?lang=en", "/%5cevil.example?lang=en", "/login?lang=en"} {
		r, err := http.NewRequest("GET", h.http.URL+p, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if to := resp.Header.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
			t.Errorf("%s leads to %s", p, to)
		}
	}
}

// TestEveryTextIsThere: in both languages, with the same things told.
func TestEveryTextIsThere(t *testing.T) {
	verbs := regexp.MustCompile(`%(\[\d\])?[sd]`)
	for key, text := range texts {
		if text.ja == "" || text.en == "" {
			t.Errorf("%s: %+v", key, text)
		}
		if ja, en := len(verbs.FindAllString(text.ja, -1)), len(verbs.FindAllString(text.en, -1)); ja != en {
			t.Errorf("%s tells %d things in Japanese and %d in English", key, ja, en)
		}
	}
}

func TestAmounts(t *testing.T) {
	for _, tt := range []struct {
		amount       int64
		code, ja, en string
	}{
		{150, "JPY", "150円（税抜）", "¥150 (before tax)"},
		{1234567, "JPY", "1,234,567円（税抜）", "¥1,234,567 (before tax)"},
		{0, "JPY", "無料", "free"},
		{5, "EUR", "EUR 0.05（税抜）", "EUR 0.05 (before tax)"},
		{123456, "USD", "USD 1,234.56（税抜）", "USD 1,234.56 (before tax)"},
		{1500, "KWD", "KWD 1.500（税抜）", "KWD 1.500 (before tax)"},
	} {
		if ja, en := feeText("ja", tt.amount, tt.code), feeText("en", tt.amount, tt.code); ja != tt.ja || en != tt.en {
			t.Errorf("%d %s: %s, %s", tt.amount, tt.code, ja, en)
		}
	}
}
