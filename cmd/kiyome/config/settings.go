package config

import (
	"fmt"
	"maps"
	"slices"
)

// A setting is one key of the file.
type setting struct {
	key   string // full, as TOML writes it: "scan.limits.time"
	value value
	help  string
}

// settings lists every key that there is, in the order in which they are printed.
func (c *Config) settings() []setting {
	rows := []setting{
		{"hostname", text(&c.Hostname, hostname), `The name in the LMTP greeting, in Received and in Message-IDs. "" asks the system.`},
		{"state_dir", text(&c.StateDir, stateFolder), `Holds accounts.db, removals.db, control.sock, the compiled rules and large messages on their way.`},
		{"timezone", zone(&c.Timezone), `Of the times that people read, and of the months that are billed.`},

		{"inbound.listen", distinct(texts(&c.Inbound.Listen, listenAddress)), `Where the MTA delivers by LMTP: host:port or unix:PATH. Sockets that systemd passes under the name "inbound" are served instead.`},
		{"inbound.socket_mode", text(&c.Inbound.SocketMode, mode), `Of sockets given as unix:PATH. With "0660" the MTA's user has to be in the server's group.`},
		{"inbound.unknown", choice(&c.Inbound.Unknown, "reject", "deliver"), `A recipient without an account: "reject" answers 550, "deliver" writes untouched into a Maildir that exists already.`},
		{"inbound.quota", choice(&c.Inbound.Quota, "defer", "bounce"), `What a mailbox over its quota answers: "defer" keeps the mail at the MTA, "bounce" gives it back.`},
		{"inbound.sessions", number(&c.Inbound.Sessions, 1, 100_000), `Connections at once; more are answered 421.`},
		{"inbound.idle_timeout", span(&c.Inbound.IdleTimeout, "1s", "1h"), `How long a client may be silent between commands.`},
		{"inbound.data_timeout", span(&c.Inbound.DataTimeout, "1s", "1h"), `How long a client may be silent within a message.`},

		{"mailboxes.path", text(&c.Mailboxes.Path, mailboxPath), `Where the Maildir of a new account is, with {local} and {domain}. It is expanded once, when the account is added.`},
		{"mailboxes.recipient_delimiter", text(&c.Mailboxes.Delimiter, delimiter), `What separates an address extension: taro+shop@ is taro@. "" for none.`},

		{"outbound.listen", distinct(texts(&c.Outbound.Listen, listenAddress)), `Where the MTA sends outgoing mail to be filtered, by LMTP: host:port or unix:PATH; empty for no filter. Sockets that systemd passes under the name "outbound" are served instead. The settings of inbound for sockets and connections hold here too.`},
		{"outbound.unknown", choice(&c.Outbound.Unknown, "pass", "refuse"), `An envelope sender without an account: "pass" sends the mail on unscanned, "refuse" answers 550. Bounces always pass.`},
		{"outbound.infected", choice(&c.Outbound.Infected, "clean", "refuse"), `What happens to an infected message: "clean" sends it on without what is infected and with a notice, "refuse" answers 550.`},
		{"outbound.next_hop", text(&c.Outbound.NextHop, listenAddress), `Where filtered and forwarded mail goes, by SMTP: the MTA's port for mail that was filtered. host:port or unix:PATH.`},
		{"outbound.connections", number(&c.Outbound.Connections, 1, 10_000), `Connections to the next hop at once.`},
		{"outbound.tls", choice(&c.Outbound.TLS, "none", "may", "require"), `STARTTLS to the next hop: "may" uses it where it is offered, checks no certificate, and does without on this machine itself; "require" defers mail rather than send it without, or to a server whose certificate is not right.`},
		{"outbound.tls_ca", text(&c.Outbound.TLSCA, absoluteOrNone), `File (PEM) of the authorities that may have signed the next hop's certificate. "" means those of the system.`},
		{"outbound.tls_name", text(&c.Outbound.TLSName, hostname), `The name in the next hop's certificate. "" means the host of next_hop.`},
		{"outbound.tls_certificate", text(&c.Outbound.TLSCertificate, absoluteOrNone), `File (PEM) of a certificate of our own, for a next hop that asks for one.`},
		{"outbound.tls_key", text(&c.Outbound.TLSKey, absoluteOrNone), `File (PEM) of its key.`},
		{"outbound.srs.domain", text(&c.Outbound.SRS.Domain, hostname), `Forwarded mail of senders elsewhere gets an envelope sender of this domain, by which bounces find back for 21 days (SRS). The domain's mail has to come here. "" keeps the senders.`},
		{"outbound.srs.secret_file", text(&c.Outbound.SRS.SecretFile, absoluteOrNone), `A file of secrets, one on each line, # before a comment. The first signs such addresses, all of them are accepted.`},

		{"rules.dirs", texts(&c.Rules.Dirs, absolute), `Folders (or single files) of YARA rules. Each sub-folder is a set of its own name, files directly in a folder are the set "local".`},
		{"rules.builtin", yesno(&c.Rules.Builtin), `The rules that come with kiyome serve too, as the set "kiyome".`},
		{"rules.ignore", texts(&c.Rules.Ignore, ignorable), `Rules that never count, by name or set/name, or the sha256 of an object that is never matched.`},

		{"scan.workers", number(&c.Scan.Workers, 0, 1024), `Processes that scan; 0 means one per core.`},
		{"scan.encrypted", choice(&c.Scan.Encrypted, "deliver", "cut"), `What cannot be opened for want of a password, or is of a format that nobody can open: delivered and marked, or cut.`},
		{"scan.unchecked", choice(&c.Scan.Unchecked, "deliver", "cut"), `What is damaged, over a limit or took too long: delivered and marked, or cut.`},
		{"scan.passwords", text(&c.Scan.Passwords, absoluteOrNone), `A file of passwords, one on each line, # before a comment. They are tried on encrypted attachments besides what the message tells, the first 50 in any case. It is read again with the rules.`},
		{"scan.sandbox", choice(&c.Scan.Sandbox, "on", "off"), `"off" scans in the server's own process: only where a sandbox is not to be had.`},
		{"scan.slow", span(&c.Scan.Slow, "100ms", "5m"), `A scan that takes longer counts as slow; slow scans use half of the workers at most. Where a message of up to 1 MiB waits for a worker, a quarter of a second is long.`},
		{"scan.recycle", number(&c.Scan.Recycle, 1, 1_000_000), `A worker is replaced after so many messages. What it has learnt to be clean goes with it.`},
		{"scan.limits.time", span(&c.Scan.Limits.Time, "1s", "5m"), `Of one message, all in all. The MTA waits ten minutes for our reply.`},
		{"scan.limits.unpacked", size(&c.Scan.Limits.Unpacked, 1<<20), `Bytes unpacked from one message.`},
		{"scan.limits.objects", number(&c.Scan.Limits.Objects, 1, 10_000_000), `Objects matched in one message.`},
		{"scan.limits.depth", number(&c.Scan.Limits.Depth, 1, 200), `Containers within containers.`},
		{"scan.limits.memory", size(&c.Scan.Limits.Memory, 64<<20), `Memory of one worker, the rules not counted.`},
		{"scan.limits.ratio", number(&c.Scan.Limits.Ratio, 0, 1_000_000), `Unpacked bytes for each byte of a container, counted from 64 MiB on; 0 means no such limit.`},

		{"report.from", text(&c.Report.From, mailAddress), `Sender of the reports. "" means virus-check@ and the hostname.`},
		{"report.language", choice(&c.Report.Language, "ja", "en"), `Of accounts that have none of their own.`},
		{"report.provider", text(&c.Report.Provider, oneLine), `Who signs the reports. "" means the hostname.`},
		{"report.templates", text(&c.Report.Templates, absoluteOrNone), `Folder with report.ja.txt, report.en.txt, notice.ja.txt and notice.en.txt in place of the built-in ones.`},

		{"removals.days", number(&c.Removals.Days, 0, 3650), `For how many days it is kept what was removed from whose mail, for members to see. 0 keeps nothing, and removes what is there.`},

		{"page.listen", distinct(texts(&c.Page.Listen, listenAddress)), `Where the page is served on which members look after their services, by HTTP, for a proxy that does TLS: host:port or unix:PATH; empty for no page. Sockets that systemd passes under the name "page" are served instead. inbound.socket_mode holds here too.`},
		{"page.public", yesno(&c.Page.Public), `It may listen where other machines reach it. Passwords then cross the network between the proxy and kiyome in the clear.`},
		{"page.imap", text(&c.Page.IMAP, listenAddress), `The IMAP server that knows the passwords of mailboxes: host:port or unix:PATH.`},
		{"page.imap_tls", choice(&c.Page.IMAPTLS, "local", "none", "starttls", "tls"), `TLS to it: "local" uses none, and so only a server on this machine; "none" none to any; "starttls" and "tls" check its certificate.`},
		{"page.imap_tls_ca", text(&c.Page.IMAPTLSCA, absoluteOrNone), `File (PEM) of the authorities that may have signed its certificate. "" means those of the system.`},
		{"page.imap_tls_name", text(&c.Page.IMAPTLSName, hostname), `The name in its certificate. "" means the host of page.imap.`},
		{"page.imap_proxy", yesno(&c.Page.IMAPProxy), `It is told who logs in, by the PROXY protocol (Dovecot: haproxy = yes). Without, it takes all members for one client, and slows down all of them after wrong passwords.`},
		{"page.imap_timeout", span(&c.Page.IMAPTimeout, "1s", "30s"), `How long proving a password may take. Dovecot takes some seconds to answer a wrong one.`},
		{"page.proxies", distinct(texts(&c.Page.Proxies, network)), `Whose X-Forwarded-For is believed, so that log-ins are limited by who makes them: addresses and networks. Whoever connects to a unix socket is one.`},

		{"billing.currency", text(&c.Billing.Currency, currency), `The currency of all fees, by its ISO 4217 code.`},
		{"billing.inbound", number(&c.Billing.Inbound, 0, maxFee), `What inbound costs a month, before tax, in the smallest unit of the currency (yen, cents). [[billing.price]] changes it from a month on.`},
		{"billing.outbound", number(&c.Billing.Outbound, 0, maxFee), `The same of outbound.`},

		{"control.group", text(&c.Control.Group, oneLine), `A group whose members may use control.sock, besides root and the server's own user.`},

		{"monitor.listen", distinct(texts(&c.Monitor.Listen, listenAddress)), `Where programs ask how the server is (metrics, health, profiles), by HTTP: host:port of this machine or unix:PATH, "127.0.0.1:9424" for instance; empty for nowhere. Sockets that systemd passes under the name "monitor" are served instead.`},
		{"monitor.public", yesno(&c.Monitor.Public), `monitor.listen may name an address that other machines reach. Nobody is asked for a password there; profiles stay on this machine.`},

		{"log.format", choice(&c.Log.Format, "text", "json"), `Of the log on standard error.`},
		{"log.level", choice(&c.Log.Level, "debug", "info", "warn", "error"), `From which level on.`},
	}
	rows = append(rows, c.setSettings()...)
	rows = append(rows, c.priceSettings()...)
	return append(rows, c.campaignSettings()...)
}

// setSettings lists the keys of the rule sets that the file names.
func (c *Config) setSettings() []setting {
	var rows []setting
	for _, name := range slices.Sorted(maps.Keys(c.Rules.Sets)) {
		set, key := c.Rules.Sets[name], join("rules.set", name)
		rows = append(rows,
			setting{key + ".min_score", number(&set.MinScore, 0, 100), `Rules of this set that score lower are logged and never cut.`},
			setting{key + ".default_score", number(&set.DefaultScore, 0, 100), `Score of a rule that states none.`},
			setting{key + ".disable", texts(&set.Disable, rulePattern), `Rules of this set that are off: patterns of names, or set-file:PATTERN for all rules of a file.`},
		)
	}
	return rows
}

// maxFee bounds a monthly fee: with it, a bill of ten million accounts fits any integer.
const maxFee = 100_000_000

// priceSettings lists the keys of the changes of prices that the file has.
func (c *Config) priceSettings() []setting {
	var rows []setting
	for i, p := range c.Billing.Prices {
		key := fmt.Sprintf("billing.price[%d]", i)
		rows = append(rows,
			setting{key + ".from", date(&p.From), `The first day of the month from which these prices hold, until the next change.`},
			setting{key + ".inbound", numberOrNone(&p.Inbound, 0, maxFee), `Left out, it stays as it was.`},
			setting{key + ".outbound", numberOrNone(&p.Outbound, 0, maxFee), `Left out, it stays as it was.`},
		)
	}
	return rows
}

// campaignSettings lists the keys of the campaigns that the file has.
func (c *Config) campaignSettings() []setting {
	var rows []setting
	for i, p := range c.Billing.Campaigns {
		key := fmt.Sprintf("billing.campaign[%d]", i)
		rows = append(rows,
			setting{key + ".service", choice(&p.Service, "inbound", "outbound"), `Which service is free in the month of subscribing, for mailboxes that never had it before.`},
			setting{key + ".from", date(&p.From), `First day on which subscribing makes it free, in the configured time zone.`},
			setting{key + ".to", date(&p.To), `Last day.`},
		)
	}
	return rows
}

// Changed names the settings in which two configurations differ.
func Changed(a, b *Config) []string {
	was := make(map[string]string)
	for _, s := range a.settings() {
		was[s.key] = s.value.toml()
	}
	var keys []string
	for _, s := range b.settings() {
		if old, ok := was[s.key]; !ok || old != s.value.toml() {
			keys = append(keys, s.key)
		}
		delete(was, s.key)
	}
	keys = slices.AppendSeq(keys, maps.Keys(was))
	slices.Sort(keys)
	return keys
}
