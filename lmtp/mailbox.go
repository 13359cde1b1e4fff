package lmtp

import (
	"errors"
	"fmt"
	"time"

	"kiyome/scan"
	"kiyome/store"
)

// mailbox is where incoming mail goes, and from where it may be forwarded.
type mailbox struct {
	account  string // its address; "" for a mailbox without an account
	maildir  string
	language string
	forward  []string
	copy     bool // what is forwarded is kept as well
}

func (m mailbox) remote() bool { return len(m.forward) > 0 }

// steps are the keys by which the forwards are remembered.
func (m mailbox) steps(r recipient) (keys []string) {
	for _, to := range m.forward {
		keys = append(keys, forwardKey(r.key, to))
	}
	return keys
}

// deliver puts into the mailbox what belongs there and forwards the message. Neither
// waits for the other to succeed, and a retry finds done what was done. A copy that
// is kept anyway comes first: the message may be back before its forwarding has ended.
func (m mailbox) deliver(j *job, r recipient, v *scan.Verdict) delivery {
	d := outcome(v)
	f := m.forwarding(j, v)
	if f.returned {
		d.action = repeated
		return d
	}
	if m.copy {
		if d.err = m.keep(j, r, v, true); d.err == nil && f.due {
			j.server().trail.add(j.session.tx.id, m.account)
		}
	}
	if f.due {
		m.forwards(j, r, v, f)
	}
	d.next = f.answers()
	keep := m.copy || f.stays
	if !m.copy {
		d.err = m.keep(j, r, v, keep)
	}
	if d.err == nil && f.err == nil {
		return d
	}
	switch {
	case d.err != nil:
	case keep:
		j.remember(r.key, stepLocal)
	case infected(v):
		j.remember(r.key, stepReport)
	}
	f.remember(j, r)
	d.err = errors.Join(d.err, f.err)
	return d
}

// keep is put, unless a try before this one has done it.
func (m mailbox) keep(j *job, r recipient, v *scan.Verdict, message bool) error {
	if j.before[r.key] == stepLocal {
		return nil
	}
	return m.put(j, r, v, message)
}

// infected reports whether a report is due.
func infected(v *scan.Verdict) bool { return v != nil && v.Outcome != scan.Clean }

// put makes durable and visible in the mailbox what is due: the report first, then
// the message, where it is to stay here; of them, what is not there yet.
func (m mailbox) put(j *job, r recipient, v *scan.Verdict, keep bool) error {
	var reports []store.Content
	if infected(v) && j.before[r.key] != stepReport {
		c, err := m.report(j, r, v)
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		reports = append(reports, c)
	}
	keep = keep && (v == nil || v.Outcome != scan.ReportOnly)
	if !keep && len(reports) == 0 {
		return nil
	}
	files, err := j.files(files{r.checked, keep}, v)
	if err != nil {
		return err
	}
	began := time.Now()
	err = files.To(m.maildir, reports...)
	j.server().counters.stored(began, err)
	partial, ok := errors.AsType[*store.PartialError](err)
	half := ok && len(reports) > 0 && partial.Done > 0
	if half {
		j.remember(r.key, stepReport)
	}
	if half || err == nil && len(reports) > 0 {
		j.recordReceived(m.account, v)
	}
	return err
}

// files gives what recipients share: the message, if they get it at all.
func (j *job) files(f files, v *scan.Verdict) (*store.Delivery, error) {
	if d := j.shared[f]; d != nil {
		return d, nil
	}
	var contents []store.Content
	if f.message {
		c, err := newContent(j.trace.mailbox(v), j.msg, v)
		if err != nil {
			return nil, err
		}
		contents = append(contents, c)
	}
	d := j.server().Store.Prepare(contents...)
	j.shared[f] = d
	return d, nil
}

// report writes the report for one recipient.
func (m mailbox) report(j *job, r recipient, v *scan.Verdict) (store.Content, error) {
	mail, err := j.mail(r.given, r.key, m.language)
	if err != nil {
		return nil, err
	}
	text, err := j.server().Reports.Report(mail, v)
	if err != nil {
		return nil, err
	}
	return newText(append(j.trace.report(v, r), text...)), nil
}
