package accounts

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

const (
	maxLocal  = 255 // bytes: a file name on the usual file systems
	maxDomain = 253 // RFC 1035, section 2.3.4, as text without the root's dot
	maxLabel  = 63  // RFC 1035, section 2.3.4
	maxName   = 255 // bytes of one path component
)

// ParseAddress gives the canonical form of an address: local part NFC and lower
// case, domain as A-labels (RFC 5890) in lower case without the root's dot. A
// quoted local part (RFC 5321, section 4.1.2) means what stands in the quotes.
//
// It refuses with ErrMalformed what could not be a mailbox of ours or a safe
// path component: no "@", empty parts, a slash, white space, control, format
// and bidi characters, RFC 5322 specials, dots in the wrong place, address
// literals, invalid UTF-8, parts over 255 bytes. Everything else, "%" and "$"
// for example, is a plain character. The canonical form of a canonical form is
// itself.
func ParseAddress(s string) (string, error) {
	at := strings.LastIndexByte(s, '@')
	switch {
	case len(s) > 4*(maxLocal+maxDomain): // before any work is done on it
		return "", malformed(s, "too long")
	case !utf8.ValidString(s):
		return "", malformed(s, "not UTF-8")
	case at < 0:
		return "", malformed(s, "no @")
	}
	local, why := parseLocal(s[:at])
	if why != "" {
		return "", malformed(s, "local part: "+why)
	}
	domain, why := parseDomain(s[at+1:])
	if why != "" {
		return "", malformed(s, "domain: "+why)
	}
	return local + "@" + domain, nil
}

// malformed quotes the address, since it may hold anything, and bounds it.
func malformed(s, why string) error {
	return fmt.Errorf("%.80q: %w: %s", s, ErrMalformed, why)
}

func parseLocal(s string) (local, why string) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = unquote(s[1 : len(s)-1])
	}
	fold := func(s string) string { return norm.NFC.String(strings.ToLower(norm.NFC.String(s))) }
	local = fold(s)
	first, _ := utf8.DecodeRuneInString(local)
	switch {
	case local == "":
		return "", "empty"
	case len(local) > maxLocal:
		return "", "over 255 bytes"
	case local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, ".."):
		return "", "a dot at the start, at the end or after another"
	case unicode.Is(unicode.M, first):
		return "", "starts with a combining mark"
	case fold(local) != local:
		return "", "has no settled lower case"
	}
	for _, r := range local {
		if !localRune(r) {
			return "", fmt.Sprintf("character %U", r)
		}
	}
	return local, ""
}

// unquote drops the backslashes of quoted pairs (RFC 5321, section 4.1.2).
func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// localRune reports whether r may stand in a local part: atext of RFC 5322,
// section 3.2.3, without the slash, the dot, and what RFC 6531 adds as far as
// it can be seen: control, format (bidi), space, private and unassigned
// characters cannot.
func localRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.=?^_`{|}~", r)
	}
	return r != utf8.RuneError && unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S)
}

// domains maps full-width forms and upper case (UTS 46) and writes A-labels.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true))

func parseDomain(s string) (domain, why string) {
	domain, err := domains.ToASCII(s)
	if err != nil {
		return "", "not a domain name"
	}
	domain = strings.TrimSuffix(domain, ".")
	if domain == "" || len(domain) > maxDomain {
		return "", "empty or too long"
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return "", "a label is empty, over 63 bytes, or has a hyphen at an end"
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "", "not a domain name"
		}
	}
	// Mapping once more must change nothing, or two forms would name one account.
	if again, err := domains.ToASCII(domain); err != nil || again != domain {
		return "", "has no settled form"
	}
	return domain, ""
}

// ExpandPath puts an address into a path template with {local} and {domain}.
// The template must be absolute, without "." and ".." and with {local}, or
// mailboxes would share a folder. What the address holds is never expanded
// again. Errors are ErrMalformed for the address, ErrSetting for the rest.
func ExpandPath(template, address string) (string, error) {
	address, err := ParseAddress(address)
	if err != nil {
		return "", err
	}
	if err := checkPath(template); err != nil {
		return "", fmt.Errorf("path of mailboxes: %w", err)
	}
	if !strings.Contains(template, "{local}") {
		return "", fmt.Errorf("path of mailboxes %q: %w: no {local}", template, ErrSetting)
	}
	if strings.ContainsAny(strings.NewReplacer("{local}", "", "{domain}", "").Replace(template), "{}") {
		return "", fmt.Errorf("path of mailboxes %q: %w: only {local} and {domain} are known", template, ErrSetting)
	}
	local, domain, _ := strings.Cut(address, "@")
	path := strings.NewReplacer("{local}", local, "{domain}", domain).Replace(template)
	if err := checkPath(path); err != nil {
		return "", err
	}
	return path, nil
}

// checkPath asks for an absolute path in its shortest form whose components a
// file system can hold.
func checkPath(path string) error {
	switch {
	case !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/":
		return fmt.Errorf("%.300q: %w: not an absolute path in its shortest form", path, ErrSetting)
	case len(path) >= 4096: // PATH_MAX of Linux
		return fmt.Errorf("%.80q…: %w: path too long", path, ErrSetting)
	case !printable(path):
		return fmt.Errorf("%.300q: %w: control characters in a path", path, ErrSetting)
	}
	for name := range strings.SplitSeq(path, "/") {
		if len(name) > maxName {
			return fmt.Errorf("%.80q…: %w: a name over 255 bytes in a path", path, ErrSetting)
		}
	}
	return nil
}

// printable reports whether s is UTF-8 without control and format characters.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) })
}
