package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/currency"

	"kiyome/accounts"
)

//go:embed files
var files embed.FS

// pages are the templates, by language and name.
type pages map[string]map[string]*template.Template

var pageNames = []string{"login", "services", "confirm", "removals", "history", "settings", "error"}

func readPages(zone *time.Location) (pages, error) {
	all := make(pages)
	for _, language := range languages {
		all[language] = make(map[string]*template.Template)
		for _, name := range pageNames {
			t, err := template.New("layout.html").Funcs(functions(language, zone)).ParseFS(files, "files/layout.html", "files/"+name+".html")
			if err != nil {
				return nil, err
			}
			all[language][name] = t
		}
	}
	return all, nil
}

// functions are what templates call: texts, and values as people read them.
func functions(language string, zone *time.Location) template.FuncMap {
	return template.FuncMap{
		"t":       func(key string, args ...any) string { return say(language, key, args...) },
		"join":    func(parts ...any) string { return fmt.Sprint(parts...) },
		"service": func(s accounts.Service) string { return say(language, string(s)) },
		"fee":     func(fee int64, currency string) string { return feeText(language, fee, currency) },
		"amount":  func(fee int64, currency string) string { return taxedText(language, fee, currency) },
		"month":   func(m accounts.Month) string { return monthText(language, m) },
		"time":    func(t time.Time) string { return timeText(language, zone, t) },
		"stamp":   func(t time.Time) string { return t.In(zone).Format("2006/01/02 15:04:05") }, // as in reports
		"iso":     func(t time.Time) string { return t.In(zone).Format(time.RFC3339) },
		"pending": func(p accounts.Pending) string { return pendingText(language, zone, p) },
		"state":   stateName,
		"file":    func(r accounts.Removal) string { return fileText(language, r) },
		"malware": func(r accounts.Removal) string { return malwareText(language, r) },
		"result":  func(r accounts.Removal) string { return resultText(language, r) },
	}
}

// view is what every page is given.
type view struct {
	Language string
	Other    string // the language that can be switched to
	Title    string
	Page     string
	Provider string
	Me       string // address; "" for nobody
	Result   string // of a change that was asked for
	Done     bool   // it was made
	Body     any
}

// show writes a page. Nothing is sent before the whole of it is there.
func (x *exchange) show(status int, page, title string, body any) error {
	v := view{Language: x.language, Other: other(x.language), Page: page, Provider: x.s.Provider, Body: body}
	if c, ok := body.(confirmView); ok {
		v.Title = say(x.language, title, say(x.language, string(c.Service)))
	} else {
		v.Title = say(x.language, title)
	}
	if x.me != nil {
		v.Me = x.me.Account.Address
		result := x.s.sessions.PopString(x.Context(), keyResult)
		kind, _, _ := strings.Cut(result, " ")
		v.Result, v.Done = resultOf(x.language, result), !slices.Contains([]string{"already", "busy", "many"}, kind)
	}
	var b bytes.Buffer
	if err := x.s.pages[x.language][page].Execute(&b, v); err != nil {
		return err
	}
	x.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	x.w.Header().Set("Content-Language", x.language)
	x.w.WriteHeader(status)
	x.w.Write(b.Bytes()) // a browser that went away hears nothing anyhow
	return nil
}

func other(language string) string {
	if language == "ja" {
		return "en"
	}
	return "ja"
}

// resultOf says what came of a change: its kind, and the service.
func resultOf(language, result string) string {
	kind, service, ok := strings.Cut(result, " ")
	_, known := texts["result."+kind]
	switch {
	case !known:
		return ""
	case ok && strings.Contains(texts["result."+kind].ja, "%s"):
		return say(language, "result."+kind, say(language, service))
	}
	return say(language, "result."+kind)
}

// feeText writes a fee in the way of the language, and that it is before tax.
func feeText(language string, fee int64, code string) string {
	if fee == 0 {
		return say(language, "free")
	}
	return taxedText(language, fee, code)
}

// taxedText is feeText of what may be nothing.
func taxedText(language string, fee int64, code string) string {
	amount := amountText(language, fee, code)
	if language == "ja" {
		return amount + "（" + say(language, "beforetax") + "）"
	}
	return amount + " (" + say(language, "beforetax") + ")"
}

// amountText writes an amount that is given in the smallest unit of its currency.
func amountText(language string, amount int64, code string) string {
	digits := 2
	if unit, err := currency.ParseISO(code); err == nil {
		digits, _ = currency.Standard.Rounding(unit)
	}
	text := fmt.Sprint(amount)
	if digits > 0 {
		text = fmt.Sprintf("%0*d", digits+1, amount)
		text = grouped(text[:len(text)-digits]) + "." + text[len(text)-digits:]
	} else {
		text = grouped(text)
	}
	switch {
	case code == "JPY" && language == "ja":
		return text + "円"
	case code == "JPY":
		return "¥" + text
	}
	return code + " " + text
}

// grouped puts a comma before each three digits.
func grouped(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func monthText(language string, m accounts.Month) string {
	if language == "ja" {
		return fmt.Sprintf("%d年%d月", m.Year, int(m.Month))
	}
	return fmt.Sprintf("%s %d", m.Month, m.Year)
}

// timeText is a day alone where a time is the first moment of one.
func timeText(language string, zone *time.Location, t time.Time) string {
	t = t.In(zone)
	day, clock := "2006年1月2日", " 15:04"
	if language == "en" {
		day, clock = "2 January 2006", ", 15:04"
	}
	if hour, minute, second := t.Clock(); hour+minute+second+t.Nanosecond() == 0 {
		return t.Format(day)
	}
	return t.Format(day + clock)
}

func pendingText(language string, zone *time.Location, p accounts.Pending) string {
	service := ""
	if p.Service != "" {
		service = say(language, string(p.Service))
	}
	return sayOf(language, "pending.", string(p.Kind), "changed", timeText(language, zone, p.Effective), service)
}

func eventText(language string, e accounts.Event) string {
	switch {
	case e.Kind == accounts.Changed && e.Settings != nil && e.Settings.Language != nil:
		return say(language, "event.language", texts["language"].in(*e.Settings.Language))
	case e.Service != "":
		return sayOf(language, "event.", string(e.Kind), "changed", say(language, string(e.Service)))
	}
	return sayOf(language, "event.", string(e.Kind), "changed")
}

// stateName is what texts and styles call a state.
func stateName(s accounts.State) string {
	switch {
	case !s.Subscribed:
		return "off"
	case s.Paused:
		return "paused"
	}
	return "on"
}

func fileText(language string, r accounts.Removal) string {
	if r.What == accounts.WhatFile {
		return r.File
	}
	return sayOf(language, "what.", string(r.What), "whole")
}

// malwareText is the virus, or why what it was in was removed without one.
func malwareText(language string, r accounts.Removal) string {
	if r.Unchecked == "" {
		return r.Malware
	}
	return say(language, "unchecked", sayOf(language, "unchecked.", r.Unchecked, "error"))
}

func resultText(language string, r accounts.Removal) string {
	if r.Result == accounts.MessageReplaced && r.Direction == accounts.Outbound {
		return say(language, "did.replaced.outbound")
	}
	if r.Result == accounts.MessageReplaced {
		return say(language, "did.replaced")
	}
	return say(language, "did.removed")
}
