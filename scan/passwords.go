package scan

import (
	"bytes"
	"io"
	netmail "net/mail"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	markup "golang.org/x/net/html"
	"golang.org/x/text/unicode/norm"

	"kiyome/scan/mime"
)

// Bounds of the passwords that are taken from a message. Trying one costs up to
// a quarter of a second.
const (
	maxPasswords     = 200
	maxPassword      = 128      // bytes of one
	maxPasswordText  = 64 << 10 // bytes of a text that are read for them
	maxPasswordTexts = 8
	maxPasswordFile  = 8 << 10 // bytes, as they stand, of a file that is attached and said to be no text

	// ownPasswords is how many of the operator's list are tried whatever the
	// message holds.
	ownPasswords = 50

	// maxPasswordsIn is how many are taken from a text in a container.
	maxPasswordsIn = 20
)

// commonPasswords are those of malware that is sent around, and of those who do
// not want to think of one.
var commonPasswords = []string{
	"infected", "password", "1234", "123456", "virus", "malware", "pass", "0000",
	"12345", "12345678", "1111", "123", "abc123", "admin", "zip", "test",
}

// Words behind which a password stands. Letters next to one of the first kind
// make another word of it.
const (
	latinWord = `pass[ -]?words?|pass[ -]?codes?|pass[ -]?phrases?|passwd|pass|pwd?|pin(?:[ -]?code)?|kennwort|passwort|` +
		`mot de passe|contrase(?:ñ|n)a|clave|senha|wachtwoord|hasło|lösenord|parola|şifre|пароль|mật khẩu|mdp`
	otherWord = `パスワ[ー\-‐‑–—―─━−－ｰ一]?ド|ﾊﾟｽﾜ[ｰ\-]?ﾄﾞ|パスコ[ー\-－]ド|パスフレーズ|暗証番号|暗証コード|暗号キー|解凍(?:パス|キー|コード)|` +
		`開封(?:パス|キー|コード)|展開(?:パス|キー)|復号(?:パス|キー)|合言葉|合い言葉|鍵は|パス|ﾊﾟｽ|密码|密碼|口令|解压码|解壓碼|비밀번호|암호|패스워드|รหัสผ่าน|סיסמה|كلمة المرور`
)

var (
	passwordWord = regexp.MustCompile(`(?i)(?:^|[^\p{Latin}\p{Cyrillic}])(?:` + latinWord + `)(?:[^\p{Latin}\p{Cyrillic}]|$)|` + otherWord)

	// valueMark is what leads from the word to the password.
	valueMark = regexp.MustCompile(`[:：=＝→⇒➡➔▶►≫>＞]|は|(?i:\b(?:is|ist|lautet|est|es)\b)|[「『"“'‘（(［\[【〔《<＜]`)

	// quotedText is what stands in quotes or brackets.
	quotedText = regexp.MustCompile("「([^」\n]+)」|『([^』\n]+)』|\"([^\"\n]+)\"|“([^”\n]+)”|'([^'\n]+)'|‘([^’\n]+)’|`([^`\n]+)`|" +
		"[（(]([^（()）\n]+)[)）]|[［\\[]([^［\\[\\]］\n]+)[\\]］]|【([^】\n]+)】|〔([^〕\n]+)〕|《([^》\n]+)》|[<＜]([^<＜>＞\n]+)[>＞]")

	asciiRun = regexp.MustCompile(`[!-~]+`)
	wordRun  = regexp.MustCompile(`[0-9A-Za-z]+`)
	address  = regexp.MustCompile(`^[\w.+-]+@[\w-]+\.[\w.-]+$`)
	sum      = regexp.MustCompile(`(?i)\b(\d{1,9})\s*(?:\+|plus|足す|たす)\s*(\d{1,9})\b`)
)

// What may stand around a password and is no piece of it. Of a pair around the
// whole, both are; what may end a password too is tried both ways.
const (
	openers    = "「『\"“'‘`（(［[【〔《<＜"
	closers    = "」』\"”'’`）)］]】〕》>＞"
	closing    = "」』”’）)］]】〕》>＞" // and never an opener
	separators = ":：=＝→⇒➡➔▶►≫>＞・*＊■□●○◆◇★☆※|｜／/~〜～_＿-－—–―─━#＃"
	endings    = "。．.,，、!！?？;；:：」』）)］]】〕》>＞\"”'’`*"
)

// passwordsOf gives the passwords that a message may tell for what is attached to
// it, the likeliest first. extra are the operator's. m is nil for a file that is
// no message.
func passwordsOf(m *mime.Message, extra []string) []string {
	own := min(len(extra), ownPasswords)
	c := &candidates{seen: make(map[string]bool), room: maxPasswords - own - len(commonPasswords)}
	if m != nil {
		c.message(m)
	}
	c.room += own
	for _, p := range extra {
		c.add(p)
	}
	c.room += len(commonPasswords)
	for _, p := range commonPasswords {
		c.add(p)
	}
	return c.list
}

// passwordsIn gives the passwords that a text in a container may tell.
func passwordsIn(text string) []string {
	c := &candidates{seen: make(map[string]bool), room: maxPasswordsIn}
	c.texts([]string{strings.Map(visible, text)})
	return c.list
}

// candidates collects passwords, each once.
type candidates struct {
	list []string
	seen map[string]bool
	room int // for so many more
}

// add takes a candidate, if it can be a password and there is room.
func (c *candidates) add(p string) {
	bad := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }
	if c.room <= 0 || p == "" || len(p) > maxPassword || c.seen[p] || strings.ContainsFunc(p, bad) {
		return
	}
	c.seen[p] = true
	c.list = append(c.list, p)
	c.room--
}

// atMost lets f add n candidates at the most.
func (c *candidates) atMost(n int, f func()) {
	rest := max(c.room-n, 0)
	c.room -= rest
	f()
	c.room += rest
}

// message collects what the texts, subjects, names and addresses of a message give.
func (c *candidates) message(m *mime.Message) {
	texts, names := passwordTexts(m)
	for _, name := range names {
		texts = append(texts, baseName(name))
	}
	c.texts(texts)
	c.atMost(40, func() { c.named(names) })
	c.dates(m)
	c.addresses(m)
}

// texts collects what texts tell, the likeliest first: words in full width folded
// to ASCII, then as they are.
func (c *candidates) texts(texts []string) {
	var all []string
	for _, t := range texts {
		all = append(all, norm.NFKC.String(t))
	}
	all = append(all, texts...)
	each := func(n int, take func(string)) {
		c.atMost(n, func() {
			for _, t := range all {
				take(t)
			}
		})
	}
	each(60, func(t string) { c.told(t, 0) })
	each(30, func(t string) { c.told(t, 2) })
	each(30, c.quoted)
	each(50, c.standing)
	each(10, c.alone)
	each(5, c.sums)
}

// told takes what stands behind a word for password: in its line, or in so many
// lines below that are not blank, the password having a line for itself.
func (c *candidates) told(text string, below int) {
	for _, at := range passwordWord.FindAllStringIndex(text, 30) {
		end := at[1]
		if r, n := utf8.DecodeLastRuneInString(text[at[0]:end]); !unicode.IsLetter(r) && n > 0 {
			end -= n // what had to be no letter belongs to the rest
		}
		line, rest, _ := strings.Cut(text[end:], "\n")
		if below == 0 {
			c.behind(line)
		}
		for range below {
			rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
			line, rest, _ = strings.Cut(rest, "\n")
			c.behind(line)
		}
	}
}

// alone takes a text that is nothing but a password.
func (c *candidates) alone(text string) {
	if text = strings.TrimSpace(text); len(text) <= maxPassword && !strings.ContainsFunc(text, unicode.IsSpace) {
		c.add(text)
	}
}

// behind takes the passwords that a line may begin with, and those behind the
// first marks in it.
func (c *candidates) behind(line string) {
	line = line[:min(len(line), 1<<10)]
	marks := valueMark.FindAllStringIndex(line, 6)
	rank := func(at []int) int { // brackets may hold a remark, "is" may be anywhere
		switch mark := line[at[0]:at[1]]; {
		case strings.Contains(openers, mark):
			return 1
		case strings.ContainsAny(mark, "はis"):
			return 2
		}
		return 0
	}
	slices.SortStableFunc(marks, func(a, b []int) int { return rank(a) - rank(b) })
	for _, at := range marks {
		if utf8.RuneCountInString(line[:at[0]]) > 40 {
			continue
		}
		if rank(at) == 1 {
			c.value(line[at[0]:])
		} else {
			c.value(line[at[1]:])
		}
	}
	c.value(line)
}

// value takes the password that a text begins with, in each form that may be meant.
func (c *candidates) value(s string) {
	if inner, ok := enclosed(strings.TrimSpace(s)); ok {
		c.add(inner)
		c.forms(inner)
	}
	s = strings.TrimLeftFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(separators+closing, r) })
	if inner, ok := enclosed(s); ok {
		c.add(inner)
		c.forms(inner)
	}
	c.forms(s)
}

// enclosed gives what stands in the quotes or brackets that s begins with.
func enclosed(s string) (inner string, ok bool) {
	first, n := utf8.DecodeRuneInString(s)
	i := slices.Index([]rune(openers), first)
	if i < 0 {
		return "", false
	}
	end := strings.IndexRune(s[n:], []rune(closers)[i])
	if end <= 0 {
		return "", false
	}
	return s[n : n+end], true
}

// forms takes the first word of s, the ASCII that it begins with, and s as a
// whole, each with and without what may stand around it.
func (c *candidates) forms(s string) {
	s = strings.TrimSpace(s)
	if s == "" {
		return
	}
	word := s
	if i := strings.IndexFunc(s, unicode.IsSpace); i > 0 {
		word = s[:i]
	}
	if loc := asciiRun.FindStringIndex(s); loc != nil && loc[0] == 0 {
		c.trimmed(s[:loc[1]])
	}
	c.trimmed(word)
	if utf8.RuneCountInString(s) <= 40 {
		c.trimmed(s)
	}
	if run := wordRun.FindString(word); len(run) >= 4 {
		c.add(run)
	}
}

// trimmed takes s without what may stand behind it, then as it is. Sentences
// are no passwords.
func (c *candidates) trimmed(s string) {
	if n := utf8.RuneCountInString(s); n > 20 && n < len(s) {
		return
	}
	short := strings.TrimRight(s, endings)
	c.add(strings.TrimLeft(short, openers))
	c.add(short)
	if short != s {
		_, n := utf8.DecodeRuneInString(s[len(short):])
		c.add(s[:len(short)+n])
	}
	c.add(s)
}

// sums takes what two numbers come to: "the result of 42 plus 42".
func (c *candidates) sums(text string) {
	for _, m := range sum.FindAllStringSubmatch(text, 5) {
		a, _ := strconv.Atoi(m[1]) // of nine digits at the most
		b, _ := strconv.Atoi(m[2])
		c.add(strconv.Itoa(a + b))
	}
}

// quoted takes what stands in quotes or brackets.
func (c *candidates) quoted(text string) {
	for _, m := range quotedText.FindAllStringSubmatch(text, 100) {
		for _, inner := range m[1:] {
			if inner = strings.TrimSpace(inner); utf8.RuneCountInString(inner) <= 32 {
				c.add(inner)
			}
		}
	}
}

// standing takes the words that look like passwords: digits with letters, or
// four to twelve digits.
func (c *candidates) standing(text string) {
	for _, word := range asciiRun.FindAllString(text, 5000) {
		if strings.Contains(word, "://") || strings.HasPrefix(word, "www.") || address.MatchString(word) {
			continue
		}
		around := func(r rune) bool { return strings.ContainsRune(endings+openers+"=-_#", r) }
		if word = strings.TrimFunc(word, around); isMixed(word) && len(word) <= 32 {
			c.add(word)
		}
		for _, run := range wordRun.FindAllString(word, 8) {
			if isMixed(run) && len(run) <= 32 || isDigits(run) && len(run) >= 4 && len(run) <= 12 {
				c.add(run)
			}
		}
	}
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// isMixed reports whether there are letters and digits in a word.
func isMixed(s string) bool {
	return len(s) >= 4 && strings.ContainsAny(s, "0123456789") && strings.ContainsFunc(s, unicode.IsLetter)
}

// named takes file names without their endings, and what looks like a password in them.
func (c *candidates) named(names []string) {
	for _, name := range names {
		name = baseName(name)
		c.add(name)
		c.standing(norm.NFKC.String(name))
	}
}

// baseName gives a file name without its folder and its ending.
func baseName(name string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	return strings.TrimSuffix(name, path.Ext(name))
}

// dates takes the day on which the message says it was sent: there, and in Japan.
func (c *candidates) dates(m *mime.Message) {
	for _, field := range m.Field(m.Root, "Date") {
		sent, err := netmail.ParseDate(field)
		if err != nil {
			continue
		}
		for _, t := range []time.Time{sent, sent.In(time.FixedZone("", 9*60*60))} {
			for _, form := range []string{"20060102", "060102", "0102", "02012006", "01022006"} {
				c.add(t.Format(form))
			}
		}
		return
	}
}

// addresses takes the addresses of those who write and read, and what stands
// before and behind the @: "the password is our domain".
func (c *candidates) addresses(m *mime.Message) {
	c.atMost(15, func() {
		for _, name := range []string{"From", "To"} {
			for _, field := range m.Field(m.Root, name) {
				list, _ := netmail.ParseAddressList(field[:min(len(field), 1<<10)])
				for _, a := range list[:min(len(list), 2)] {
					local, domain, _ := strings.Cut(a.Address, "@")
					c.add(a.Address)
					c.add(domain)
					c.add(local)
				}
			}
		}
	})
}

// passwordTexts gives the texts in which a message may tell a password, its
// subjects first, and the names of its files.
func passwordTexts(m *mime.Message) (texts, names []string) {
	texts = append(m.Field(m.Root, "Subject"), passwordFields(m)...)
	var other []*mime.Part // what is attached and may be a text
	var bodies []*mime.Part
	around := make(map[*mime.Part]bool)
	for leaf := range m.Leaves() {
		if a := leaf.Attached(); a != nil && !around[a] && len(around) < maxPasswordTexts {
			around[a] = true
			texts = append(texts, m.Field(a.Message, "Subject")...)
		}
		isText := leaf.Type == "text/plain" || leaf.Type == "text/html"
		switch {
		case leaf.Extra:
		case isText && leaf.IsBody():
			bodies = append(bodies, leaf)
		case isText || leaf.Body.End-leaf.Body.Start <= maxPasswordFile:
			other = append(other, leaf)
		}
		if len(names) < maxPasswords {
			names = append(names, leaf.Names...)
		}
	}
	bodies = append(bodies, other...)
	for _, leaf := range bodies[:min(len(bodies), maxPasswordTexts)] {
		texts = append(texts, passwordText(m, leaf))
	}
	return texts, names
}

// passwordFields gives the fields of the header that speak of a password, each
// with its name.
func passwordFields(m *mime.Message) (fields []string) {
	header := m.Raw[m.Root.Header.Start:m.Root.Header.End]
	for line := range bytes.Lines(header[:min(len(header), maxPasswordText)]) {
		name, _, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) > 76 || !passwordWord.Match(line) || bytes.EqualFold(name, []byte("Subject")) {
			continue
		}
		for _, value := range m.Field(m.Root, string(name)) {
			fields = append(fields, string(name)+": "+value)
		}
		if len(fields) >= maxPasswordTexts {
			break
		}
	}
	return fields[:min(len(fields), maxPasswordTexts)]
}

// passwordText gives the text of a part as a mail program shows it.
func passwordText(m *mime.Message, leaf *mime.Part) string {
	var b []byte
	for r := range m.Readings(leaf) {
		if b = r.Raw; b == nil {
			b, _ = io.ReadAll(io.LimitReader(r.Data, maxPasswordText)) // what there is will do
		}
		break
	}
	if bytes.IndexByte(b, 0) >= 0 && !strings.HasPrefix(leaf.Type, "text/") {
		return ""
	}
	text := leaf.Text(whole(b))
	if leaf.Type == "text/html" {
		text = htmlText(text)
	}
	return strings.Map(visible, text)
}

// whole cuts a long text behind a line, so that no character is torn.
func whole(b []byte) []byte {
	if len(b) < maxPasswordText {
		return b
	}
	b = b[:maxPasswordText]
	if i := slices.Index(b[len(b)-4096:], '\n'); i >= 0 {
		return b[:len(b)-4096+i+1]
	}
	return b
}

// visible takes out what cannot be seen, and makes one kind of line end.
func visible(r rune) rune {
	switch {
	case r == '\n' || r == '\t':
		return r
	case r == '\r', r == '\v', r == '\f', r == '\u0085', r == '\u2028', r == '\u2029':
		return '\n'
	case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
		return -1
	}
	return r
}

// htmlText gives the text of an HTML document, its blocks in lines.
func htmlText(s string) string {
	var out strings.Builder
	z := markup.NewTokenizer(strings.NewReader(s))
	hidden, pre := "", false
	for {
		kind := z.Next()
		name := ""
		if kind == markup.StartTagToken || kind == markup.EndTagToken || kind == markup.SelfClosingTagToken {
			tag, _ := z.TagName()
			name = string(tag)
		}
		switch {
		case kind == markup.ErrorToken:
			return out.String()
		case hidden != "":
			if kind == markup.EndTagToken && name == hidden {
				hidden = ""
			}
		case kind == markup.TextToken:
			text := string(z.Text())
			if !pre {
				text = strings.Map(unwrapped, text)
			}
			out.WriteString(markup.UnescapeString(text))
		case kind == markup.StartTagToken && (name == "style" || name == "script"):
			hidden = name
		case name == "td" || name == "th":
			out.WriteByte('\t')
		case name != "" && !isInline(name):
			out.WriteByte('\n')
			pre = name == "pre" && kind == markup.StartTagToken || pre && name != "pre"
		}
	}
}

// unwrapped undoes the lines of the source, which mean nothing.
func unwrapped(r rune) rune {
	if r == '\n' || r == '\r' {
		return ' '
	}
	return r
}

// isInline reports whether a tag leaves what is around it in one line.
func isInline(tag string) bool {
	switch tag {
	case "a", "b", "i", "u", "s", "em", "strong", "span", "font", "code", "kbd", "tt", "samp", "mark", "small", "big", "sub", "sup", "wbr", "ruby", "ins", "del", "q":
		return true
	}
	return false
}
