package scan

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"kiyome/rules"
	"kiyome/scan/mime"
	"kiyome/scan/unpack"
)

// ErrScratch says that the scratch file failed: a full disk, for instance. It is
// a fault of ours, whatever was found.
var ErrScratch = errors.New("scratch file")

// Limits is every limit of a scan. Zero fields have their defaults.
type Limits struct {
	Time   time.Duration // of one message, all in all; default 120 s
	MIME   mime.Limits
	Unpack unpack.Limits
	Object int // bytes of an object up to which it is held in memory rather than in the scratch file; default 4 MiB
}

// defaultTime is that of Limits.Time: two tries of it and some waiting stay below
// the 300 s after which an MTA's patience should not be tried.
const defaultTime = 120 * time.Second

// Options configures an Engine.
type Options struct {
	Policy Policy
	Limits Limits

	// Passwords are the operator's, which encrypted attachments are tried with
	// after those that the message itself tells. They are told to nobody.
	Passwords []string
}

// matcher is *rules.Matcher, and what a test puts in its place.
type matcher interface {
	Match(o rules.Object, limit time.Duration) ([]rules.Match, error)
	Close()
}

// Engine scans in this process. It is used by one goroutine.
type Engine struct {
	set     *rules.Set
	matcher matcher
	o       Options
	clean   cleanObjects
	arena   *unpack.Arena
}

// NewEngine makes an engine that matches against set.
func NewEngine(set *rules.Set, o Options) (*Engine, error) {
	m, err := set.NewMatcher()
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if o.Limits.Time <= 0 {
		o.Limits.Time = defaultTime
	}
	return &Engine{set: set, matcher: m, o: o, arena: unpack.NewArena(nil, o.Limits.Object)}, nil
}

// Close frees the engine. The rules stay.
func (e *Engine) Close() { e.matcher.Close() }

// Job is one thing to scan.
type Job struct {
	Raw     []byte        // the bytes; never written to
	File    bool          // not a message, unless it reads like one: `kiyome scan` of any file; the verdict has a tree
	Name    string        // of that file
	Scratch *os.File      // empty and unlinked, for large objects; nil: memory
	Found   func(Finding) // told of each finding as it is made; may be nil
}

// Scan is Run for a message: the method by which lmtp knows a scanner. Large
// objects go to an unlinked file in os.TempDir.
func (e *Engine) Scan(ctx context.Context, m *Message) (*Verdict, error) {
	raw, release, err := m.Map()
	if err != nil {
		return nil, err
	}
	defer release()
	scratch, err := Unlinked(os.TempDir())
	if err != nil {
		return nil, fmt.Errorf("scratch file: %w", err)
	}
	defer scratch.Close()
	return e.Run(ctx, Job{Raw: raw, Scratch: scratch})
}

// Run scans one job. The error is for faults of the engine itself, and for a ctx
// that was cancelled: whatever is wrong with the bytes is in the Verdict, and so
// is the end of Limits.Time or of ctx's own time.
func (e *Engine) Run(ctx context.Context, j Job) (*Verdict, error) {
	limited, cancel := context.WithTimeout(ctx, e.o.Limits.Time)
	defer cancel()
	e.arena.Use(j.Scratch)
	s := &scanner{Engine: e, ctx: limited, job: j, known: make(map[key]*node), sums: make(map[[sha256.Size]byte]*node)}
	v := s.run()
	if err := errors.Join(e.arena.Fault(), e.arena.Close()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScratch, err)
	}
	if errors.Is(ctx.Err(), context.Canceled) && len(v.Findings) == 0 {
		return nil, fmt.Errorf("scan: %w", context.Cause(ctx))
	}
	return v, nil
}

// scanner is the scan of one job.
type scanner struct {
	*Engine
	ctx     context.Context
	job     Job
	known   map[key]*node               // every object that was met
	sums    map[[sha256.Size]byte]*node // those that were not guessed, under the last of their names
	objects int
	bytes   int64

	remembers bool // what is clean is not looked into again
	skipped   bool // something was not
}

// run looks at the job once, and when there is something to cut, at what the
// cut leaves.
func (s *scanner) run() *Verdict {
	isMessage := !s.job.File || looksLikeMessage(s.job.Raw)
	s.remembers = isMessage && !s.job.File && s.set.Steady()
	p := s.look(isMessage)
	if s.skipped && p.shut { // the password may be in what was skipped
		s.remembers = false
		clear(s.known)
		clear(s.sums)
		p = s.look(isMessage)
	}
	v := p.verdict()
	v.Rules, v.Objects, v.Bytes = s.set.Version(), s.objects, s.bytes
	switch {
	case len(p.hits) == 0:
		v.Outcome = Clean
	case !isMessage:
		v.Outcome, v.Why = ReportOnly, "not a message"
	default:
		v.Subject = p.subject()
		s.decide(p, v)
	}
	return v
}

// look is one look at the job as it came.
func (s *scanner) look(isMessage bool) *pass {
	p := s.newPass(s.job.Found)
	if s.job.File {
		p.trace = newTrace()
	}
	p.guard(spot{}, nil, func() {
		if isMessage {
			p.message(mime.Parse(s.job.Raw, s.o.Limits.MIME))
		} else {
			p.file(s.job.Name, s.job.Raw)
		}
	})
	return p
}

// decide plans the cut, has it proved, and writes the outcome into v. Whatever
// goes wrong on the way, what was found is not delivered.
func (s *scanner) decide(p *pass, v *Verdict) {
	v.Outcome, v.Why = ReportOnly, "the cut failed"
	defer func() {
		if r := recover(); r != nil {
			v.Outcome, v.Cut, v.Why = ReportOnly, nil, shorten(fmt.Sprintf("the cut failed: %v", r), maxName)
		}
	}()
	c := planCut(p.msg, p.hits)
	if c.why == "" {
		c.why = s.prove(p, c)
	}
	if c.why != "" {
		v.Why = c.why
		return
	}
	v.Outcome, v.Cut, v.Signed, v.Why = Cleaned, c.ranges, c.signed, ""
	v.Notice = s.notice(p, c)
}
