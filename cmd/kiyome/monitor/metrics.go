package monitor

import (
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kiyome/lmtp"
	"kiyome/rules"
	"kiyome/scan/worker"
)

// Numbers is what the metrics are made of.
type Numbers struct {
	Version           string // of this program
	Libyara           string
	Sandbox           bool
	Inbound, Outbound lmtp.Stats
	Scan              worker.Stats
	Rules             rules.Compiled
	Reloads           Reloads
	Database          int64 // bytes
	RemovalsLost      int64
}

// Reloads is what became of changes of the rules.
type Reloads struct {
	Done, Refused int64
	Last          time.Time // when rules came into service
	Failed        bool      // what was refused last has not been mended
}

// A metric is a row of the table: what it is called, what it means, and where it comes from.
type metric struct {
	name   string
	help   string
	kind   prometheus.ValueType
	labels []string
	value  func(n Numbers, out func(v float64, labels ...string))
	times  func(n Numbers, out func(h lmtp.Histogram, labels ...string)) // of a histogram, in place of value
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// metrics lists every metric that there is, besides those of the process and of the Go runtime.
var metrics = []metric{
	{name: "kiyome_recipients_total", kind: counter, labels: []string{"direction", "outcome"},
		value: named(func(s lmtp.Stats) map[string]int64 { return s.Outcomes }),
		help:  "Recipients, by what became of their mail; unknown ones that were refused are among them."},
	{name: "kiyome_failures_total", kind: counter, labels: []string{"direction", "command", "reason", "class"}, value: failures,
		help: "Recipients that did not get their mail: whether they heard of it after RCPT or after DATA, why, and the class of the reply."},
	{name: "kiyome_messages_total", kind: counter, labels: []string{"direction"}, value: each(func(s lmtp.Stats) int64 { return s.Messages }),
		help: "Messages taken in whole."},
	{name: "kiyome_message_bytes_total", kind: counter, labels: []string{"direction"}, value: each(func(s lmtp.Stats) int64 { return s.Bytes }),
		help: "Their bytes."},
	{name: "kiyome_ambiguous_messages_total", kind: counter, labels: []string{"direction"}, value: each(func(s lmtp.Stats) int64 { return s.Ambiguous }),
		help: "Scanned messages that mail programs may read differently."},
	{name: "kiyome_unchecked_messages_total", kind: counter, labels: []string{"direction", "reason"},
		value: named(func(s lmtp.Stats) map[string]int64 { return s.Unchecked }),
		help:  "Messages with something in them that could not be checked, by reason."},
	{name: "kiyome_findings_total", kind: counter, labels: []string{"direction", "set"},
		value: named(func(s lmtp.Stats) map[string]int64 { return s.Findings }),
		help:  "Infected objects, by the set of the rule that matched; policy: nothing matched, and the operator has it cut."},
	{name: "kiyome_connections_total", kind: counter, labels: []string{"direction"}, value: each(func(s lmtp.Stats) int64 { return s.Connections }),
		help: "Connections of the MTA."},
	{name: "kiyome_connections_refused_total", kind: counter, labels: []string{"direction"}, value: each(func(s lmtp.Stats) int64 { return s.TurnedAway }),
		help: "Connections over inbound.sessions, answered 421."},
	{name: "kiyome_connections", kind: gauge, labels: []string{"direction"}, value: each(func(s lmtp.Stats) int64 { return s.Sessions }),
		help: "Connections that are open."},
	{name: "kiyome_spool_bytes", kind: gauge, labels: []string{"direction"}, value: each(func(s lmtp.Stats) int64 { return s.Spooled }),
		help: "Bytes of messages that are held, in memory or in the spool."},
	{name: "kiyome_account_lookups_total", kind: counter, labels: []string{"direction", "result"},
		value: named(func(s lmtp.Stats) map[string]int64 { return s.Lookups }),
		help:  "Look-ups of accounts; error: it could not be told, and the mail was put off."},
	{name: "kiyome_account_database_bytes", kind: gauge, value: one(func(n Numbers) float64 { return float64(n.Database) }),
		help: "Size of the account database."},
	{name: "kiyome_removals_lost_total", kind: counter, value: one(func(n Numbers) float64 { return float64(n.RemovalsLost) }),
		help: "Removals that the history lacks: they came faster than they could be written down, or could not be."},
	{name: "kiyome_scan_duration_seconds", labels: []string{"direction"}, times: timed(func(s lmtp.Stats) lmtp.Histogram { return s.Scan }),
		help: "From asking for a verdict to having it, the wait for a worker included."},
	{name: "kiyome_store_duration_seconds", times: func(n Numbers, out func(lmtp.Histogram, ...string)) { out(n.Inbound.Store) },
		help: "Putting the mail of one recipient into the mailbox, syncs included."},
	{name: "kiyome_store_failures_total", kind: counter, labels: []string{"errno"}, value: storeFailures,
		help: "Mailboxes that could not be written to, by the system's error."},
	{name: "kiyome_forwards_total", kind: counter, value: one(func(n Numbers) float64 { return float64(n.Inbound.Forwarded) }),
		help: "Addresses that mailboxes passed mail on to."},
	{name: "kiyome_next_hop_recipients_total", kind: counter, labels: []string{"direction", "result"},
		value: named(func(s lmtp.Stats) map[string]int64 { return s.NextHop }),
		help:  "Recipients of mail that was passed on, by the next hop's answer; uncertain: it was lost after the message, which may come twice."},
	{name: "kiyome_next_hop_duration_seconds", labels: []string{"direction"}, times: timed(func(s lmtp.Stats) lmtp.Histogram { return s.Relay }),
		help: "One transaction with the next hop."},
	{name: "kiyome_scans_total", kind: counter, value: one(func(n Numbers) float64 { return float64(n.Scan.Scans) }),
		help: "Verdicts given."},
	{name: "kiyome_slow_scans_total", kind: counter, value: one(func(n Numbers) float64 { return float64(n.Scan.TurnSlow) }),
		help: "Scans that counted as slow: they took longer than scan.slow, or a small message waited for them."},
	{name: "kiyome_scans_waiting", kind: gauge, value: one(func(n Numbers) float64 { return float64(n.Scan.Waiting) }),
		help: "Scans that wait for a worker."},
	{name: "kiyome_last_scan_timestamp_seconds", kind: gauge, value: one(func(n Numbers) float64 { return moment(n.Scan.Answered) }),
		help: "When a worker gave a verdict last."},
	{name: "kiyome_workers", kind: gauge, labels: []string{"state"}, value: workers,
		help: "Workers: wanted, serving, and of these busy and slow."},
	{name: "kiyome_workers_ended_total", kind: counter, labels: []string{"reason"}, value: workersEnded,
		help: "Workers that ended: died, killed at the deadline, recycled after scan.recycle messages, taken from a slow scan."},
	{name: "kiyome_worker_start_failures_total", kind: counter, value: one(func(n Numbers) float64 { return float64(n.Scan.Failed) }),
		help: "Workers that did not start."},
	{name: "kiyome_poison_messages_total", kind: counter, value: one(func(n Numbers) float64 { return float64(n.Scan.Poisonous) }),
		help: "Messages that ended two workers, and were put off."},
	{name: "kiyome_poison_digests", kind: gauge, value: one(func(n Numbers) float64 { return float64(n.Scan.Poison) }),
		help: "Digests of such messages that are remembered."},
	{name: "kiyome_sandbox_enabled", kind: gauge, value: one(func(n Numbers) float64 { return truth(n.Sandbox) }),
		help: "1: messages are scanned in confined workers; 0: in the server's own process."},
	{name: "kiyome_rules", kind: gauge, value: one(func(n Numbers) float64 { return float64(n.Rules.Rules) }),
		help: "Rules in service."},
	{name: "kiyome_rules_built_timestamp_seconds", kind: gauge, value: one(func(n Numbers) float64 { return moment(n.Rules.Built) }),
		help: "When they were compiled."},
	{name: "kiyome_rules_serving_timestamp_seconds", kind: gauge, value: one(func(n Numbers) float64 { return moment(n.Reloads.Last) }),
		help: "When they came into service."},
	{name: "kiyome_rules_reloads_total", kind: counter, labels: []string{"result"}, value: reloads,
		help: "Changes of the rules, by what became of them."},
	{name: "kiyome_rules_reload_failed", kind: gauge, value: one(func(n Numbers) float64 { return truth(n.Reloads.Failed) }),
		help: "1: what was to come into service last was refused, and what served before serves on."},
	{name: "kiyome_build_info", kind: gauge, labels: []string{"version", "go", "libyara", "rules"},
		value: func(n Numbers, out func(float64, ...string)) {
			out(1, n.Version, runtime.Version(), n.Libyara, n.Rules.Version)
		},
		help: "1, with the versions of the program and of the rules."},
}

// one gives a metric without labels.
func one(f func(Numbers) float64) func(Numbers, func(float64, ...string)) {
	return func(n Numbers, out func(float64, ...string)) { out(f(n)) }
}

// directions are the values of the label "direction".
var directions = []struct {
	name  string
	stats func(Numbers) lmtp.Stats
}{
	{"inbound", func(n Numbers) lmtp.Stats { return n.Inbound }},
	{"outbound", func(n Numbers) lmtp.Stats { return n.Outbound }},
}

// each gives a number of each direction.
func each(f func(lmtp.Stats) int64) func(Numbers, func(float64, ...string)) {
	return func(n Numbers, out func(float64, ...string)) {
		for _, d := range directions {
			out(float64(f(d.stats(n))), d.name)
		}
	}
}

// named gives numbers of each direction by their names.
func named(f func(lmtp.Stats) map[string]int64) func(Numbers, func(float64, ...string)) {
	return func(n Numbers, out func(float64, ...string)) {
		for _, d := range directions {
			for name, v := range f(d.stats(n)) {
				out(float64(v), d.name, name)
			}
		}
	}
}

// timed gives a histogram of each direction.
func timed(f func(lmtp.Stats) lmtp.Histogram) func(Numbers, func(lmtp.Histogram, ...string)) {
	return func(n Numbers, out func(lmtp.Histogram, ...string)) {
		for _, d := range directions {
			out(f(d.stats(n)), d.name)
		}
	}
}

func failures(n Numbers, out func(float64, ...string)) {
	for _, d := range directions {
		for _, f := range d.stats(n).Failures {
			out(float64(f.Count), d.name, f.Command, f.Reason, f.Class)
		}
	}
}

func storeFailures(n Numbers, out func(float64, ...string)) {
	for errno, v := range n.Inbound.Faults {
		out(float64(v), errno)
	}
}

func workers(n Numbers, out func(float64, ...string)) {
	out(float64(n.Scan.Want), "wanted")
	out(float64(n.Scan.Workers), "serving")
	out(float64(n.Scan.Busy), "busy")
	out(float64(n.Scan.Slow), "slow")
}

func workersEnded(n Numbers, out func(float64, ...string)) {
	out(float64(n.Scan.Died), "died")
	out(float64(n.Scan.Killed), "killed")
	out(float64(n.Scan.Recycled), "recycled")
	out(float64(n.Scan.TurnedOut), "slow")
}

func reloads(n Numbers, out func(float64, ...string)) {
	out(float64(n.Reloads.Done), "done")
	out(float64(n.Reloads.Refused), "refused")
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// moment is a time in seconds since 1970; 0 for never.
func moment(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// descriptions are the metrics in the words of the library, in the order of the table.
var descriptions = func() (all []*prometheus.Desc) {
	for _, m := range metrics {
		all = append(all, prometheus.NewDesc(m.name, m.help, m.labels, nil))
	}
	return all
}()

// collector makes the metrics of one look at the subject.
type collector struct{ subject Subject }

// Describe implements prometheus.Collector.
func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	n := c.subject.Numbers()
	for i, m := range metrics {
		if m.times != nil {
			m.times(n, func(h lmtp.Histogram, labels ...string) {
				count, buckets := cumulative(h)
				out <- prometheus.MustNewConstHistogram(descriptions[i], count, h.Sum.Seconds(), buckets, labels...)
			})
			continue
		}
		m.value(n, func(v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(descriptions[i], m.kind, v, labels...)
		})
	}
}

// cumulative gives a histogram as the library wants it: how many were up to each bound.
func cumulative(h lmtp.Histogram) (count uint64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(lmtp.Bounds))
	for i, bound := range slices.All(lmtp.Bounds[:]) {
		count += h.Counts[i]
		buckets[bound] = count
	}
	return count + h.Counts[len(lmtp.Bounds)], buckets
}
