package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/mail"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A value takes what the TOML file gives, and gives itself as TOML.
type value struct {
	set  func(v any) error
	toml func() string
}

// check judges a text. A nil error lets it pass.
type check func(s string) error

func text(p *string, ok check) value {
	return value{
		set: func(v any) error {
			s, is := v.(string)
			if !is {
				return fmt.Errorf("%s is not a text", show(v))
			}
			if err := ok(s); err != nil {
				return err
			}
			*p = s
			return nil
		},
		toml: func() string { return quote(*p) },
	}
}

// texts tells of every wrong element, not only the first.
func texts(p *[]string, ok check) value {
	return value{
		set: func(v any) error {
			list, is := v.([]any)
			if !is {
				return fmt.Errorf("%s is not a list of texts", show(v))
			}
			var all []string
			var errs []error
			for _, e := range list {
				var s string
				errs = append(errs, text(&s, ok).set(e))
				all = append(all, s)
			}
			*p = all
			return errors.Join(errs...)
		},
		toml: func() string {
			var quoted []string
			for _, s := range *p {
				quoted = append(quoted, quote(s))
			}
			return "[" + strings.Join(quoted, ", ") + "]"
		},
	}
}

// distinct is a list in which nothing stands twice.
func distinct(list value) value {
	set := list.set
	list.set = func(v any) error {
		errs := []error{set(v)}
		all, _ := v.([]any)
		count := make(map[string]int)
		for _, e := range all {
			s, is := e.(string)
			if count[s]++; is && count[s] == 2 {
				errs = append(errs, fmt.Errorf("%s stands there twice", quote(s)))
			}
		}
		return errors.Join(errs...)
	}
	return list
}

func choice(p *string, of ...string) value {
	return text(p, func(s string) error {
		if !slices.Contains(of, s) {
			return fmt.Errorf("%s is none of %s", quote(s), strings.Join(of, ", "))
		}
		return nil
	})
}

func number(p *int, least, most int) value {
	return value{
		set: func(v any) error {
			n, is := v.(int64)
			if !is {
				return fmt.Errorf("%s is not a number", show(v))
			}
			if n < int64(least) || n > int64(most) {
				return fmt.Errorf("%d is not between %d and %d", n, least, most)
			}
			*p = int(n)
			return nil
		},
		toml: func() string { return strconv.Itoa(*p) },
	}
}

// numberOrNone is a number that may be left out; its TOML is then empty.
func numberOrNone(p **int, least, most int) value {
	return value{
		set: func(v any) error {
			var n int
			if err := number(&n, least, most).set(v); err != nil {
				return err
			}
			*p = &n
			return nil
		},
		toml: func() string {
			if *p == nil {
				return ""
			}
			return strconv.Itoa(**p)
		},
	}
}

// currency accepts the form of an ISO 4217 code.
func currency(s string) error {
	if len(s) != 3 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return fmt.Errorf("%s is not three capital letters like \"JPY\"", quote(s))
	}
	return nil
}

func yesno(p *bool) value {
	return value{
		set: func(v any) error {
			b, is := v.(bool)
			if !is {
				return fmt.Errorf("%s is neither true nor false", show(v))
			}
			*p = b
			return nil
		},
		toml: func() string { return strconv.FormatBool(*p) },
	}
}

// span is a duration, as Go writes it: "90s", "2m30s".
func span(p *time.Duration, least, most string) value {
	return value{
		set: func(v any) error {
			s, is := v.(string)
			d, err := time.ParseDuration(s)
			if !is || err != nil {
				return fmt.Errorf(`%s is not a duration like "90s"`, show(v))
			}
			if d < mustSpan(least) || d > mustSpan(most) {
				return fmt.Errorf("%s is not between %s and %s", quote(s), least, most)
			}
			*p = d
			return nil
		},
		toml: func() string { return quote(shortSpan(*p)) },
	}
}

func mustSpan(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err) // a constant of the table
	}
	return d
}

// shortSpan writes 5m rather than 5m0s.
func shortSpan(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if rest, ok := strings.CutSuffix(s, zero); ok {
			s = rest + zero[:1]
		}
	}
	return s
}

// units of sizes, the largest first.
var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// size is a number of bytes, with or without a unit: "4GiB", 4096.
func size(p *int64, least int64) value {
	return value{
		set: func(v any) error {
			n, err := parseSize(v)
			if err != nil {
				return err
			}
			if n < least {
				return fmt.Errorf("%s is less than %s", show(v), FormatSize(least))
			}
			*p = n
			return nil
		},
		toml: func() string { return quote(FormatSize(*p)) },
	}
}

func parseSize(v any) (int64, error) {
	if n, ok := v.(int64); ok {
		return n, nil
	}
	s, _ := v.(string)
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.bytes {
			break
		}
		return n * u.bytes, nil
	}
	return 0, fmt.Errorf(`%s is not a size like "512MiB"`, show(v))
}

// FormatSize writes a number of bytes with the largest unit that divides it.
func FormatSize(n int64) string {
	for _, u := range units {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

func zone(p **time.Location) value {
	return value{
		set: func(v any) error {
			s, is := v.(string)
			z, err := time.LoadLocation(s)
			if !is || s == "" || s == "Local" || err != nil {
				return fmt.Errorf(`%s is not a time zone like "Asia/Tokyo"`, show(v))
			}
			*p = z
			return nil
		},
		toml: func() string { return quote((*p).String()) },
	}
}

// date is a day without a time, as TOML writes it: 2014-10-01.
func date(p *time.Time) value {
	return value{
		set: func(v any) error {
			t, is := v.(time.Time)
			if !is || t.Location().String() != "date-local" {
				return fmt.Errorf("%s is not a date like 2014-10-01", show(v))
			}
			*p = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
			return nil
		},
		toml: func() string { return p.Format(time.DateOnly) },
	}
}

// show writes a value of the file the way it stands there.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case time.Time:
		return v.Format(time.RFC3339)
	case []any:
		return "a list"
	case map[string]any, []map[string]any:
		return "a table"
	}
	return fmt.Sprint(v)
}

// quote writes a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// rulePattern accepts a pattern of path.Match, also behind "set-file:".
func rulePattern(s string) error {
	if _, err := path.Match(strings.TrimPrefix(s, "set-file:"), ""); err != nil {
		return fmt.Errorf("%s is not a pattern of names: %w", quote(s), err)
	}
	return nil
}

// ignorable accepts a name, a digest, or a pattern that leaves some rule in force.
func ignorable(s string) error {
	if strings.Contains(s, "*") && strings.Trim(s, "*/") == "" {
		return fmt.Errorf("%s would ignore every rule", quote(s))
	}
	return rulePattern(s)
}

func oneLine(s string) error {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%s has a control character", quote(s))
	}
	return nil
}

func absolute(s string) error {
	if !filepath.IsAbs(s) {
		return fmt.Errorf("%s is not an absolute path", quote(s))
	}
	return oneLine(s)
}

func absoluteOrNone(s string) error {
	if s == "" {
		return nil
	}
	return absolute(s)
}

func hostname(s string) error {
	for _, label := range strings.Split(strings.TrimSuffix(s, "."), ".") {
		bad := func(r rune) bool {
			return r != '-' && r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
		}
		if s != "" && (label == "" || len(label) > 63 || strings.ContainsFunc(label, bad)) {
			return fmt.Errorf("%s is not a host name", quote(s))
		}
	}
	return nil
}

func mailboxPath(s string) error {
	if err := absolute(s); err != nil {
		return err
	}
	for _, p := range []string{"{local}", "{domain}"} {
		if !strings.Contains(s, p) {
			return fmt.Errorf("%s has no %s", quote(s), p)
		}
	}
	return nil
}

func delimiter(s string) error {
	if len(s) > 1 || strings.ContainsAny(s, "@/. ") || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%s is not one character that can stand in a local part", quote(s))
	}
	return nil
}

func mailAddress(s string) error {
	if s == "" {
		return nil
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s {
		return fmt.Errorf("%s is not a mail address", quote(s))
	}
	return nil
}

// mode accepts the permissions of a socket, in octal.
func mode(s string) error {
	if _, err := ParseMode(s); err != nil {
		return fmt.Errorf(`%s is not a file mode like "0660"`, quote(s))
	}
	return nil
}

// ParseMode reads permissions in octal.
func ParseMode(s string) (os.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 9)
	return os.FileMode(n), err
}

// stateFolder accepts a folder that can hold the control socket.
func stateFolder(s string) error {
	if err := absolute(s); err != nil {
		return err
	}
	return socketPath(filepath.Join(s, "control.sock"))
}

// socketPath accepts what can be the path of a Unix socket.
func socketPath(path string) error {
	const longest = 107 // sockaddr_un of Linux, less the NUL
	if err := absolute(path); err != nil {
		return err
	}
	if len(path) > longest {
		return fmt.Errorf("%s is longer than the %d bytes that a socket's path may have", quote(path), longest)
	}
	return nil
}

// listenAddress accepts host:port with a port that is a number, and unix:PATH.
func listenAddress(s string) error {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return socketPath(path)
	}
	_, port, err := net.SplitHostPort(s)
	if _, notNumber := strconv.ParseUint(port, 10, 16); err != nil || notNumber != nil {
		return fmt.Errorf("%s is neither host:port nor unix:PATH", quote(s))
	}
	return nil
}

// IsLocal reports whether host:port or unix:PATH can be reached from this machine only.
func IsLocal(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// network accepts an address, or a network in the form ADDRESS/BITS.
func network(s string) error {
	if _, err := ParseNetwork(s); err != nil {
		return fmt.Errorf(`%s is neither an address nor a network like "192.0.2.0/24"`, quote(s))
	}
	return nil
}

// ParseNetwork reads an address, or a network. An address is a network of its own.
func ParseNetwork(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return ip.Unmap().WithZone("").Prefix(ip.Unmap().BitLen())
}
