// Package config reads the configuration: one TOML file, every setting with a
// default, every mistake told with its place and all of them at once.
//
// A setting is a row of one table (settings.go): its key, where its value goes,
// what is allowed, and the words that explain it. Reading, checking, printing
// and comparing configurations all go through that table.
package config

import (
	"time"
)

// Config is the whole configuration.
type Config struct {
	File string // where it was read; "" for the built-in defaults

	Hostname string         // in the LMTP greeting, trace headers and Message-IDs
	StateDir string         // accounts.db, control.sock, compiled rules, spool
	Timezone *time.Location // of the times that people read

	Inbound   Inbound
	Mailboxes Mailboxes
	Outbound  Outbound
	Rules     Rules
	Scan      Scan
	Report    Report
	Removals  Removals
	Page      Page
	Billing   Billing
	Control   Control
	Monitor   Monitor
	Log       Log
}

// Inbound is the LMTP service that delivers into mailboxes.
type Inbound struct {
	Listen      []string      // host:port or unix:PATH
	SocketMode  string        // of Unix sockets, octal
	Unknown     string        // "reject" or "deliver"
	Quota       string        // "defer" or "bounce"
	Sessions    int           // connections at once
	IdleTimeout time.Duration // silence of a client between commands
	DataTimeout time.Duration // silence of a client within a message
}

// Mailboxes says where Maildirs are.
type Mailboxes struct {
	Path      string // template with {local} and {domain}
	Delimiter string // of address extensions; "" for none
}

// Outbound is the content filter for mail that is sent, and the way on for mail that is
// forwarded.
type Outbound struct {
	Listen         []string
	Unknown        string // "pass" or "refuse"
	Infected       string // "clean" or "refuse"
	NextHop        string // host:port or unix:PATH
	Connections    int    // to the next hop, at once
	TLS            string // "none", "may" or "require"
	TLSCA          string // files; "" for none
	TLSName        string
	TLSCertificate string
	TLSKey         string
	SRS            SRS
}

// SRS rewrites the senders of what is forwarded.
type SRS struct {
	Domain     string // "" for no rewriting
	SecretFile string
}

// Rules says which rules serve.
type Rules struct {
	Dirs    []string
	Builtin bool
	Ignore  []string
	Sets    map[string]*RuleSet
}

// RuleSet is what the operator says about one set of rules.
type RuleSet struct {
	MinScore     int
	DefaultScore int
	Disable      []string
}

// Scan is how messages are scanned.
type Scan struct {
	Workers   int
	Encrypted string // "deliver" or "cut"
	Unchecked string // "deliver" or "cut"
	Passwords string // a file; "" for none
	Sandbox   string // "on" or "off"
	Slow      time.Duration
	Recycle   int
	Limits    Limits
}

// Limits bounds the work that one message can cause.
type Limits struct {
	Time     time.Duration
	Unpacked int64 // bytes
	Objects  int
	Depth    int
	Memory   int64 // bytes
	Ratio    int   // 0: none
}

// Report is the mail that tells a recipient what was removed.
type Report struct {
	From      string
	Language  string
	Provider  string
	Templates string
}

// Removals is the history of what was removed from mail.
type Removals struct {
	Days int // 0: none is kept
}

// Page is where members look after their services by themselves.
type Page struct {
	Listen      []string // empty: there is none
	Public      bool     // it may listen where others than this machine reach it
	IMAP        string   // who proves passwords: host:port or unix:PATH
	IMAPTLS     string   // "local", "none", "starttls" or "tls"
	IMAPTLSCA   string   // files; "" for none
	IMAPTLSName string
	IMAPProxy   bool
	IMAPTimeout time.Duration
	Proxies     []string // whose X-Forwarded-For is believed: addresses and networks
}

// Billing is what the services cost.
type Billing struct {
	Currency  string // ISO 4217
	Inbound   int    // a month, before tax, in the smallest unit of the currency
	Outbound  int
	Prices    []*Price
	Campaigns []*Campaign
}

// Price changes what the services cost.
type Price struct {
	From     time.Time // the first day of a month, at midnight UTC
	Inbound  *int      // nil: as before
	Outbound *int
}

// Campaign makes the month of subscribing free.
type Campaign struct {
	Service  string
	From, To time.Time // days, both included, at midnight UTC
}

// Control is the socket by which commands reach the server.
type Control struct {
	Group string // whose members may use it besides root and the server's own user; "" for nobody
}

// Monitor is where programs ask how the server is.
type Monitor struct {
	Listen []string // host:port or unix:PATH
	Public bool     // Listen may name addresses that other machines reach
}

// Log is what the server writes to standard error.
type Log struct {
	Format string // "text" or "json"
	Level  string // "debug", "info", "warn" or "error"
}

// Default is the configuration without a file.
func Default() *Config {
	return &Config{
		StateDir: "/var/lib/kiyome",
		Timezone: mustZone("Asia/Tokyo"),
		Inbound: Inbound{
			Listen:      []string{"127.0.0.1:2424"},
			SocketMode:  "0660",
			Unknown:     "reject",
			Quota:       "defer",
			Sessions:    512,
			IdleTimeout: 5 * time.Minute, // RFC 5321, section 4.5.3.2.7
			DataTimeout: 5 * time.Minute,
		},
		Mailboxes: Mailboxes{
			Path:      "/var/vmail/{domain}/{local}/Maildir",
			Delimiter: "+",
		},
		Outbound: Outbound{
			Unknown:     "pass",
			Infected:    "clean",
			NextHop:     "127.0.0.1:10026",
			Connections: 20, // default_destination_concurrency_limit of Postfix
			TLS:         "may",
		},
		Rules: Rules{
			Dirs:    []string{defaultRulesDir},
			Builtin: true,
		},
		Scan: Scan{
			Encrypted: "deliver",
			Unchecked: "deliver",
			Sandbox:   "on",
			Slow:      3 * time.Second,
			Recycle:   10_000,
			Limits: Limits{
				Time:     120 * time.Second,
				Unpacked: 4 << 30,
				Objects:  100_000,
				Depth:    32,
				Memory:   512 << 20,
			},
		},
		Report:   Report{Language: "ja"},
		Removals: Removals{Days: 90},
		Page: Page{
			IMAP:        "127.0.0.1:143",
			IMAPTLS:     "local",
			IMAPTimeout: 20 * time.Second,
			Proxies:     []string{"127.0.0.0/8", "::1"},
		},
		Billing: Billing{Currency: "JPY", Inbound: 150, Outbound: 150},
		Log:     Log{Format: "text", Level: "info"},
	}
}

// defaultRuleSet is a set of which the operator says nothing.
func defaultRuleSet() *RuleSet { return &RuleSet{MinScore: 65, DefaultScore: 70} }

// defaultRulesDir need not exist; a folder that the file names must.
const defaultRulesDir = "/etc/kiyome/rules"

// mustZone loads a time zone that is compiled in.
func mustZone(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return z
}
