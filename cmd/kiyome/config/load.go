package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// DefaultFile is read when neither the command nor the environment names a file.
const DefaultFile = "/etc/kiyome/kiyome.toml"

// Mistake is something wrong in a configuration file.
type Mistake struct {
	File string
	Line int
	Key  string // "" for a fault of syntax
	Text string
}

// String is FILE:LINE: KEY: what is wrong.
func (m Mistake) String() string {
	place := fmt.Sprintf("%s:%d: ", m.File, m.Line)
	if m.Key != "" {
		place += m.Key + ": "
	}
	return place + m.Text
}

// Mistakes is all that is wrong in a configuration file, in the order of lines.
type Mistakes []Mistake

// Error has a line for each mistake.
func (m Mistakes) Error() string {
	var all []string
	for _, one := range m {
		all = append(all, one.String())
	}
	return strings.Join(all, "\n")
}

// Load reads the configuration: from file or, when that is "", from the file
// that $KIYOME_CONFIG names, then from DefaultFile, then the built-in defaults.
// The error is Mistakes when the file could be read.
func Load(file string) (*Config, error) {
	if file == "" {
		file = os.Getenv("KIYOME_CONFIG")
	}
	named := file != ""
	if !named {
		file = DefaultFile
	}
	text, err := os.ReadFile(file)
	if !named && errors.Is(err, os.ErrNotExist) {
		return Parse("", nil)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(file, text)
}

// Parse reads a configuration from text. file is its name in mistakes.
func Parse(file string, text []byte) (*Config, error) {
	p := &parser{config: Default(), file: file}
	p.config.File = file
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	if m := encoding(file, text); m != nil {
		return nil, m
	}
	var doc map[string]any
	if _, err := toml.Decode(string(text), &doc); err != nil {
		return nil, syntax(file, text, err)
	}
	p.lines = locate(string(text))
	p.prepare(doc)
	p.settings = make(map[string]value)
	for _, s := range p.config.settings() {
		p.settings[s.key] = s.value
	}
	p.table("", doc)
	p.prices()
	p.campaigns()
	p.outbound()
	p.page()
	p.monitor()
	if len(p.mistakes) > 0 {
		slices.SortStableFunc(p.mistakes, func(a, b Mistake) int { return a.Line - b.Line })
		return nil, p.mistakes
	}
	_, chosen := p.lines["rules.dirs"]
	return p.config, p.config.complete(chosen)
}

// encoding tells what is no UTF-8, which TOML asks for; nil when all is.
func encoding(file string, text []byte) error {
	if bytes.HasPrefix(text, []byte("\xFF\xFE")) || bytes.HasPrefix(text, []byte("\xFE\xFF")) {
		return Mistakes{{File: file, Line: 1, Text: "the file is UTF-16; it has to be saved as UTF-8"}}
	}
	line := 1
	for l := range bytes.Lines(text) {
		if !utf8.Valid(l) {
			return Mistakes{{File: file, Line: line, Text: "not UTF-8; the file has to be saved as UTF-8"}}
		}
		line++
	}
	return nil
}

// syntax makes a Mistake of what the TOML library says of text. Its line is one
// too few where lines end with CRLF; its offset is right.
func syntax(file string, text []byte, err error) error {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return fmt.Errorf("configuration: %s: %w", file, err)
	}
	before := text[:min(max(pe.Position.Start, 0), len(text))]
	return Mistakes{{File: file, Line: 1 + bytes.Count(before, []byte("\n")), Text: pe.Message}}
}

type parser struct {
	config   *Config
	file     string
	lines    lines
	settings map[string]value
	mistakes Mistakes
}

func (p *parser) report(key, text string) {
	p.mistakes = append(p.mistakes, Mistake{p.file, p.lines.of(key), key, text})
}

// prepare makes room for the tables of which there can be any number.
func (p *parser) prepare(doc map[string]any) {
	rules, _ := doc["rules"].(map[string]any)
	sets, _ := rules["set"].(map[string]any)
	p.config.Rules.Sets = make(map[string]*RuleSet)
	for name := range sets {
		p.config.Rules.Sets[name] = defaultRuleSet()
	}
	billing, _ := doc["billing"].(map[string]any)
	prices, _ := billing["price"].([]map[string]any)
	for range prices {
		p.config.Billing.Prices = append(p.config.Billing.Prices, new(Price))
	}
	campaigns, _ := billing["campaign"].([]map[string]any)
	for range campaigns {
		p.config.Billing.Campaigns = append(p.config.Billing.Campaigns, new(Campaign))
	}
}

// table reads the keys of one table and of those in it.
func (p *parser) table(prefix string, table map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		key, v := join(prefix, name), table[name]
		if s, ok := p.settings[key]; ok {
			p.set(key, s, v)
			continue
		}
		sub, isTable := v.(map[string]any)
		list, isList := v.([]map[string]any)
		switch {
		case isTable && p.holds(key+"."):
			p.table(key, sub)
		case isList && p.holds(key+"[0]."):
			for i, sub := range list {
				p.table(fmt.Sprintf("%s[%d]", key, i), sub)
			}
		case p.holds(key + "."):
			p.report(key, show(v)+" is not a table")
		case key == "billing.campaign":
			p.report(key, "campaigns are written [[billing.campaign]]")
		case key == "billing.price":
			p.report(key, "changes of prices are written [[billing.price]]")
		default:
			p.report(key, "unknown key"+p.suggestion(prefix, name))
		}
	}
}

func (p *parser) set(key string, s value, v any) { p.reportAll(key, s.set(v)) }

// reportAll reports each of the errors that are joined in err.
func (p *parser) reportAll(key string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			p.reportAll(key, e)
		}
	} else if err != nil {
		p.report(key, err.Error())
	}
}

// holds reports whether some setting's key starts with prefix, or could.
func (p *parser) holds(prefix string) bool {
	for key := range p.settings {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return prefix == "rules.set."
}

// suggestion names the section that has a key of this name, when there is one only.
func (p *parser) suggestion(prefix, name string) string {
	var places []string
	for key := range p.settings {
		if i := strings.LastIndexByte(key, '.'); key[i+1:] == name && key != join(prefix, name) {
			places = append(places, key)
		}
	}
	if len(places) != 1 {
		return ""
	}
	return "; did you mean " + places[0] + "?"
}

// prices checks what the single keys cannot.
func (p *parser) prices() {
	seen := make(map[time.Time]bool)
	for i, c := range p.config.Billing.Prices {
		key := fmt.Sprintf("billing.price[%d]", i)
		switch {
		case c.From.IsZero() || c.Inbound == nil && c.Outbound == nil:
			if !p.reported(key) {
				p.report(key, "a change of prices needs from, and inbound or outbound or both")
			}
		case c.From.Day() != 1:
			p.report(key+".from", c.From.Format(time.DateOnly)+" is not the first day of a month: prices change with the month")
		case seen[c.From]:
			p.report(key+".from", "the prices change twice on "+c.From.Format(time.DateOnly))
		}
		seen[c.From] = true
	}
}

// reported tells whether a mistake is known already of a key or what is below it.
func (p *parser) reported(key string) bool {
	return slices.ContainsFunc(p.mistakes, func(m Mistake) bool { return strings.HasPrefix(m.Key, key) })
}

// campaigns checks what the single keys cannot.
func (p *parser) campaigns() {
	for i, c := range p.config.Billing.Campaigns {
		key := fmt.Sprintf("billing.campaign[%d]", i)
		if (c.Service == "" || c.From.IsZero() || c.To.IsZero()) && !p.reported(key) {
			p.report(key, "a campaign needs service, from and to")
		}
		if !c.From.IsZero() && !c.To.IsZero() && c.To.Before(c.From) {
			p.report(key+".to", c.To.Format(time.DateOnly)+" is before "+c.From.Format(time.DateOnly))
		}
	}
}

// outbound checks what the single keys cannot.
func (p *parser) outbound() {
	o := p.config.Outbound
	p.together("outbound.tls_certificate", o.TLSCertificate, "outbound.tls_key", o.TLSKey)
	p.together("outbound.srs.domain", o.SRS.Domain, "outbound.srs.secret_file", o.SRS.SecretFile)
	for _, address := range o.Listen {
		if address != "" && slices.Contains(p.config.Inbound.Listen, address) {
			p.report("outbound.listen", quote(address)+" is in inbound.listen too")
		}
	}
}

// page checks what the single keys cannot.
func (p *parser) page() {
	c := p.config.Page
	for _, address := range c.Listen {
		switch {
		case address == "":
		case slices.Contains(p.config.Inbound.Listen, address):
			p.report("page.listen", quote(address)+" is in inbound.listen too")
		case slices.Contains(p.config.Outbound.Listen, address):
			p.report("page.listen", quote(address)+" is in outbound.listen too")
		case !c.Public && !IsLocal(address):
			p.report("page.listen", quote(address)+" can be reached by other machines, without TLS: listen on 127.0.0.1 or a unix socket behind a proxy, or say page.public = true")
		}
	}
	onSocket := strings.HasPrefix(c.IMAP, "unix:")
	switch {
	case c.IMAPTLS == "local" && !IsLocal(c.IMAP):
		p.report("page.imap_tls", quote(c.IMAP)+` is another machine, to which passwords would go in the clear: say "tls", "starttls" or, if that shall be, "none"`)
	case onSocket && c.IMAPTLSName == "" && (c.IMAPTLS == "tls" || c.IMAPTLS == "starttls"):
		p.report("page.imap_tls", "a certificate cannot be checked against a unix socket: it needs page.imap_tls_name")
	}
}

// monitor checks what the single keys cannot.
func (p *parser) monitor() {
	for _, address := range p.config.Monitor.Listen {
		switch {
		case address == "": // told already
		case slices.Contains(p.config.Inbound.Listen, address), slices.Contains(p.config.Outbound.Listen, address), slices.Contains(p.config.Page.Listen, address):
			p.report("monitor.listen", quote(address)+" is where mail or members come in")
		case !p.config.Monitor.Public && !IsLocal(address):
			p.report("monitor.listen", quote(address)+" can be reached from other machines, and asks for no password; monitor.public = true allows that")
		}
	}
}

// together reports a key of two that is given without the other.
func (p *parser) together(a, valueOfA, b, valueOfB string) {
	switch {
	case valueOfA != "" && valueOfB == "":
		p.report(a, "it needs "+b)
	case valueOfA == "" && valueOfB != "":
		p.report(b, "it needs "+a)
	}
}

// complete fills in what is derived from the machine and from other settings.
func (c *Config) complete(dirsChosen bool) error {
	if c.Hostname == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("hostname: %w", err)
		}
		c.Hostname = name
	}
	if c.Report.From == "" {
		c.Report.From = "virus-check@" + c.Hostname
	}
	if c.Report.Provider == "" {
		c.Report.Provider = c.Hostname
	}
	if !dirsChosen {
		c.Rules.Dirs = slices.DeleteFunc(c.Rules.Dirs, func(dir string) bool {
			_, err := os.Stat(dir)
			return errors.Is(err, os.ErrNotExist)
		})
	}
	return nil
}

// State is a file in the state folder.
func (c *Config) State(name string) string { return filepath.Join(c.StateDir, name) }
