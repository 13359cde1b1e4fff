package lmtp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kiyome/scan"
	"kiyome/scan/report"
	"kiyome/store"
)

// job brings one message to the recipients of its transaction. Recipients who get
// the same bytes share one file.
type job struct {
	session *session
	msg     *scan.Message
	facts   facts
	began   time.Time
	trace   trace
	shared  map[bool]*store.Delivery // by whether the mail is checked
	over    map[string]delivery      // what came of a recipient, by key
	before  map[string]string        // what a try before this one did for it, by key
	done    *unconfirmed
	err     error // why before cannot be told
}

func newJob(s *session, msg *scan.Message, f facts, began time.Time) *job {
	j := &job{
		session: s, msg: msg, facts: f, began: began, trace: newTrace(s, began),
		shared: map[bool]*store.Delivery{}, over: map[string]delivery{},
		done: newUnconfirmed(s.server.Memory, s.server.Log, msg),
	}
	j.before, j.err = j.remembered()
	return j
}

// needsScan reports whether a recipient waits for a verdict.
func (j *job) needsScan(r recipient) bool {
	return r.checked && j.err == nil && j.before[r.key] != stepAll
}

// close removes what the deliveries left in tmp. Closing again does nothing.
func (j *job) close() {
	for _, d := range j.shared {
		if err := d.Close(); err != nil {
			j.session.server.Log.Warn("tmp file left", "tx", j.session.tx.id, "err", err)
		}
	}
	clear(j.shared)
	j.done.wait()
}

// deliver brings the message to one recipient. Asked twice for the same one, it
// delivers once and answers twice.
func (j *job) deliver(r recipient, verdict func() (*scan.Verdict, error)) delivery {
	d, again := j.over[r.key]
	if !again {
		d = j.attempt(r, verdict)
	}
	if d.rcpt = r; again && d.err == nil {
		d.action = repeated
	}
	d.took = time.Since(j.began)
	d.reply = accepted(j.session.tx.id)
	if d.err != nil {
		d.reply = j.session.server.replies.of(d.err)
		d.action = refusal(d.reply)
	} else if !again {
		j.done.add(r.key)
	}
	j.over[r.key] = d
	return d
}

// attempt delivers what is due and was not done by a try before this one.
func (j *job) attempt(r recipient, verdict func() (*scan.Verdict, error)) delivery {
	switch {
	case j.err != nil:
		return delivery{err: j.err}
	case j.before[r.key] == stepAll:
		return delivery{action: repeated}
	case !r.checked:
		return delivery{action: untouched, err: j.put(r, nil)}
	}
	v, err := verdict()
	if err != nil {
		return delivery{err: err}
	}
	d := outcome(v)
	d.err = j.put(r, v)
	return d
}

// remembered tells what a try before this one did, by recipient. Only while there
// is something to remember does that cost a digest.
func (j *job) remembered() (map[string]string, error) {
	memory := j.session.server.Memory
	if memory.Len() == 0 {
		return nil, nil
	}
	digest, err := j.msg.Digest()
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	before := map[string]string{}
	for _, r := range j.session.tx.rcpts {
		if step, ok := memory.Get(memoryKey(digest, r.key)); ok {
			before[r.key] = step
		}
	}
	return before, nil
}

// outcome is what the recipient of a checked message gets.
func outcome(v *scan.Verdict) delivery {
	d := delivery{verdict: "clean", action: clean, version: v.Rules, rules: ruleNames(v), odd: strings.Join(v.Odd, "; ")}
	switch {
	case v.Outcome == scan.Cleaned:
		d.verdict, d.action = "infected", cleaned
	case v.Outcome == scan.ReportOnly:
		d.verdict, d.action = "infected", reportOnly
	case len(v.Unchecked) > 0:
		d.verdict, d.action = "unscanned", unscanned
	}
	return d
}

// ruleNames says for the log what matched, what matched without counting ("noted:"),
// and what could not be checked.
func ruleNames(v *scan.Verdict) string {
	var names []string
	for _, f := range v.Findings {
		name := f.Rule
		if name == "" {
			name = "policy:" + f.Policy
		}
		names = append(names, fmt.Sprintf("%.200s", name))
	}
	for _, f := range v.Noted {
		names = append(names, fmt.Sprintf("noted:%.200s", f.Rule))
	}
	for _, u := range v.Unchecked {
		names = append(names, fmt.Sprintf("unchecked:%.40s", u.Reason))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	const most = 10
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(names, ",")
}

// put makes durable and visible in the mailbox what is due: the report first, then
// the message; of them, what is not there yet.
func (j *job) put(r recipient, v *scan.Verdict) error {
	var reports []store.Content
	if infected := v != nil && v.Outcome != scan.Clean; infected && j.before[r.key] != stepReport {
		c, err := j.report(r, v)
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		reports = append(reports, c)
	}
	if v != nil && v.Outcome == scan.ReportOnly && len(reports) == 0 {
		return nil // the report is all that is due, and there since the try before this one
	}
	files, err := j.files(r, v)
	if err != nil {
		return err
	}
	err = files.To(r.maildir, reports...)
	var partial *store.PartialError
	if errors.As(err, &partial) && len(reports) > 0 && partial.Done > 0 {
		j.remember(r, stepReport)
	}
	return err
}

// remember makes durable that a step was done though the rest was deferred.
func (j *job) remember(r recipient, step string) {
	digest, err := j.msg.Digest()
	if err == nil {
		err = j.session.server.Memory.Add(memoryKey(digest, r.key), step)
	}
	if err != nil {
		j.session.server.Log.Error("a delivery was half done, and that could not be kept: the report may come twice", "rcpt", r.given, "err", err)
	}
}

// files gives what recipients share: the message, if they get it at all.
func (j *job) files(r recipient, v *scan.Verdict) (*store.Delivery, error) {
	if d := j.shared[r.checked]; d != nil {
		return d, nil
	}
	var contents []store.Content
	if v == nil || v.Outcome != scan.ReportOnly {
		c, err := newContent(j.trace.header(v), j.msg, v)
		if err != nil {
			return nil, err
		}
		contents = append(contents, c)
	}
	d := j.session.server.Store.Prepare(contents...)
	j.shared[r.checked] = d
	return d, nil
}

// report writes the report for one recipient.
func (j *job) report(r recipient, v *scan.Verdict) (store.Content, error) {
	digest, err := j.msg.Digest()
	if err != nil {
		return nil, err
	}
	text, err := j.session.server.Reports.Report(report.Mail{
		Recipient: r.given, Sender: j.session.tx.from, MessageID: j.facts.messageID,
		Language: r.language, Detected: j.began, Key: memoryKey(digest, r.key),
	}, v)
	if err != nil {
		return nil, err
	}
	return newText(append(j.trace.reportHeader(v, r), text...)), nil
}
