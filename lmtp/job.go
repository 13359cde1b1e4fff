package lmtp

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kiyome/lmtp/relay"
	"kiyome/scan"
	"kiyome/scan/report"
	"kiyome/store"
)

// job brings one message to the recipients of its transaction. Where they go is for
// their places to know; what is common is here: that each gets it once, what a try
// before this one did, the files and the relaying that recipients share.
type job struct {
	session *session
	ctx     context.Context // ends when the last answer is due
	msg     *scan.Message
	facts   facts
	began   time.Time
	trace   trace

	over   map[string]delivery // what came of a recipient, by key
	before map[string]string   // what a try before this one did for it, by key
	err    error               // why before cannot be told
	done   *unconfirmed

	shared  map[files]*store.Delivery
	relayed map[string]relay.Result // by key; nil before the next hop was asked
	way     *way                    // nil before it was read
}

// files tells which recipients get the same ones.
type files struct{ checked, message bool }

func newJob(ctx context.Context, s *session, msg *scan.Message, f facts, began time.Time) *job {
	j := &job{
		session: s, ctx: ctx, msg: msg, facts: f, began: began, trace: newTrace(s, began),
		over: map[string]delivery{}, shared: map[files]*store.Delivery{},
		done: newUnconfirmed(s.server, msg),
	}
	j.before, j.err = j.remembered()
	return j
}

func (j *job) server() *Server { return j.session.server }

// needsScan reports whether a recipient waits for a verdict.
func (j *job) needsScan(r recipient) bool {
	return r.checked && j.err == nil && j.before[r.key] != stepAll
}

// close removes what the deliveries left in tmp. Closing again does nothing.
func (j *job) close() {
	for _, d := range j.shared {
		if err := d.Close(); err != nil {
			j.server().Log.Warn("tmp file left", "tx", j.session.tx.id, "err", err)
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
	d.reply = accepted(j.session.tx.id, d.answer)
	if d.err != nil {
		d.reply = j.server().replies.of(d.err)
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
		return r.place.deliver(j, r, nil)
	}
	v, err := verdict()
	if err != nil {
		return delivery{err: err}
	}
	return r.place.deliver(j, r, v)
}

// remembered tells what a try before this one did, by recipient. Only while there
// is something to remember does that cost a digest.
func (j *job) remembered() (map[string]string, error) {
	memory := j.server().Memory
	if memory.Len() == 0 {
		return nil, nil
	}
	digest, err := j.msg.Digest()
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	before := map[string]string{}
	for _, r := range j.session.tx.rcpts {
		for _, key := range append(r.place.steps(r), r.key) {
			if step, ok := memory.Get(memoryKey(digest, key)); ok {
				before[key] = step
			}
		}
	}
	return before, nil
}

// remember makes durable that a step was done though the rest was deferred.
func (j *job) remember(key, step string) {
	digest, err := j.msg.Digest()
	if err == nil {
		err = j.server().Memory.Add(memoryKey(digest, key), step)
	}
	if err != nil {
		j.server().Log.Error("a delivery was half done, and that could not be kept: a part of it may come twice", "tx", j.session.tx.id, "rcpt", key, "step", step, "err", err)
	}
}

// wayOf is the way that the message has come.
func (j *job) wayOf() way {
	if j.way == nil {
		w := readWay(j.msg, j.server().Hostname)
		j.way = &w
	}
	return *j.way
}

// mail is what reports and notices say of the message. key makes their Message-IDs
// differ between recipients.
func (j *job) mail(recipient, key, language string) (report.Mail, error) {
	digest, err := j.msg.Digest()
	return report.Mail{
		Recipient: recipient, Sender: j.session.tx.from, MessageID: j.facts.messageID,
		Language: language, Detected: j.began, Key: memoryKey(digest, key),
	}, err
}

// outcome is what comes of a message that was checked.
func outcome(v *scan.Verdict) delivery {
	if v == nil {
		return delivery{action: untouched}
	}
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
	return few(names, 10)
}

// few joins what differs of names, and not more of it than most.
func few(names []string, most int) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(names, ",")
}
