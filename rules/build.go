package rules

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hillu/go-yara/v4"
)

// Build compiles what c says into dir, checks that it matches EICAR, and makes it
// the current set, keeping the one before it for Rollback. When the current set was
// already built from the same sources, configuration and libyara, it is kept; so
// it is when it came by a Rollback from what c says and nothing changed since.
// problems lists files that were left out and warnings; err is not nil when
// nothing was built, and then the current set is as it was. ErrWouldLose: what the
// current set has would be missing (see Config.Lose). Builds into one dir wait for each other.
func Build(ctx context.Context, c Config, dir string) (set Compiled, problems []Problem, err error) {
	unlock, err := lock(ctx, dir)
	if err != nil {
		return Compiled{}, nil, err
	}
	defer unlock()
	sets, unread := readSources(c)
	digest, err := inputs(c, sets)
	if err != nil {
		return Compiled{}, unread, err
	}
	m, err := readManifest(dir)
	if err != nil {
		m = manifest{} // a damaged one names nothing that could be trusted: build anew
	}
	if g := m.Current; g != nil && prove(g.compiled(dir)) == nil {
		switch digest {
		case g.Inputs:
			return g.compiled(dir), g.Problems, nil
		case m.Left:
			return g.compiled(dir), append(unread, Problem{Warning: true,
				Message: "the rules are those that were rolled back: the set before them serves until they change"}), nil
		}
	}
	r, files, problems, err := compileSets(ctx, c, sets)
	problems = append(unread, problems...)
	if err != nil {
		return Compiled{}, problems, err
	}
	defer r.destroy()
	if g := m.Current; g != nil && !c.Lose {
		if lost := g.loses(sets, files); len(lost) > 0 {
			return Compiled{}, problems, fmt.Errorf("%w: %s", ErrWouldLose, strings.Join(lost, ", "))
		}
	}
	g, err := save(c, r, dir, digest)
	if err != nil {
		return Compiled{}, problems, err
	}
	g.Problems, g.Files = problems, files
	for _, s := range sets {
		g.Sets = append(g.Sets, s.name)
	}
	if err := m.install(g, dir); err != nil {
		return Compiled{}, problems, err
	}
	return g.compiled(dir), problems, nil
}

// install makes g the current generation of dir if it proves itself.
func (m manifest) install(g generation, dir string) error {
	if err := prove(g.compiled(dir)); err != nil {
		return errors.Join(err, os.Remove(filepath.Join(dir, g.File)))
	}
	next := manifest{Current: &g, Previous: m.Previous}
	// A current set that is damaged is nothing to go back to.
	if m.Current != nil && m.Current.File != g.File {
		if _, err := readVerified(m.Current.compiled(dir)); err == nil {
			next.Previous = m.Current
		}
	}
	return next.write(dir)
}

// save writes r as a generation that no manifest names yet.
func save(c Config, r compiledRules, dir, inputs string) (generation, error) {
	built := time.Now().UTC().Truncate(time.Second)
	g := generation{
		Version: built.Format("20060102") + "-" + inputs[:12],
		Rules:   countRules(r.all),
		Built:   built,
		Inputs:  inputs,
	}
	if g.Rules == 0 {
		return g, errors.New("there are no rules")
	}
	data, err := encodeRules(header{
		Version: g.Version, Rules: g.Rules, Built: built, Libyara: LibyaraVersion(), Ignore: c.Ignore, Sets: c.Sets,
	}, r)
	if err != nil {
		return g, err
	}
	sum := sha256.Sum256(data)
	g.Digest = hex.EncodeToString(sum[:])
	g.File = g.Digest[:16] + rulesExt
	return g, writeFile(dir, g.File, data)
}

// countRules counts the rules of r that can be seen to match.
func countRules(r *yara.Rules) (n int) {
	rules := r.GetRules()
	for i := range rules {
		if !rules[i].IsPrivate() {
			n++
		}
	}
	return n
}

// prove loads c and checks that it would cut the EICAR test file. What Silence
// names does not count here: it must not keep a server from starting.
func prove(c Compiled) error {
	s, err := load(c, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.matchesEICAR()
}

// proveTime bounds the self-test.
const proveTime = time.Minute

// matchesEICAR is ErrNoEICAR when a form of the set does not find the test file.
func (s *Set) matchesEICAR() error {
	m, err := s.NewMatcher()
	if err != nil {
		return err
	}
	defer m.Close()
	for _, form := range []*scanner{m.plain, m.all} {
		found, err := m.match(form, Object{Data: eicar(), Name: "eicar.com", Path: "eicar.com"}, proveTime)
		if err != nil {
			return fmt.Errorf("self-test of the rules: %w", err)
		}
		if !slices.ContainsFunc(found, func(m Match) bool { return !m.LogOnly }) {
			return ErrNoEICAR
		}
	}
	return nil
}

// Current gives the current compiled set in dir, verified against its digest. The
// error is ErrNone when none was built, ErrDamaged when the file is not what was built.
func Current(dir string) (Compiled, error) {
	m, err := readManifest(dir)
	if err != nil {
		return Compiled{}, err
	}
	if m.Current == nil {
		return Compiled{}, fmt.Errorf("%w in %s", ErrNone, dir)
	}
	c := m.Current.compiled(dir)
	if _, err := readVerified(c); err != nil {
		return Compiled{}, err
	}
	return c, nil
}

// Rollback makes the set before the current one current again, and the current one
// the set before it: a second Rollback undoes the first. Build keeps the set as
// long as it would build the one that was left. The error is ErrNone when there
// is no set before the current one; one that does not load or does not match
// EICAR is refused.
func Rollback(dir string) (Compiled, error) {
	unlock, err := lock(context.Background(), dir)
	if err != nil {
		return Compiled{}, err
	}
	defer unlock()
	m, err := readManifest(dir)
	if err != nil {
		return Compiled{}, err
	}
	if m.Previous == nil {
		return Compiled{}, fmt.Errorf("roll back: %w before the current ones in %s", ErrNone, dir)
	}
	c := m.Previous.compiled(dir)
	if err := prove(c); err != nil {
		return Compiled{}, fmt.Errorf("roll back: %w", err)
	}
	next := manifest{Current: m.Previous, Previous: m.Current}
	if m.Current != nil {
		next.Left = m.Current.Inputs
	}
	return c, next.write(dir)
}

// Check compiles what c says file by file without keeping it and lists every
// problem. The error is for faults that are not the rules'.
func Check(ctx context.Context, c Config) ([]Problem, error) {
	sets, problems := readSources(c)
	r, _, more, err := compileSets(ctx, c, sets)
	if err != nil {
		return problems, err
	}
	r.destroy()
	return append(problems, more...), nil
}

// Silence adds a rule name or a digest to the list of the ignored kept in dir, in
// the forms of Config.Ignore. It holds for sets loaded from then on. A rule that
// builds on a silenced one does not match either.
func Silence(dir, name string) error {
	return editSilenced(dir, name, func(list []string) []string { return append(list, name) })
}

// Unsilence takes it back. It is no error that the name was not silenced.
func Unsilence(dir, name string) error {
	return editSilenced(dir, name, func(list []string) []string { return list })
}

// Proves checks that the current set of dir, less what is silenced, would still
// cut the EICAR test file: a server with it could not start. The error is then ErrNoEICAR.
func Proves(dir string) error {
	c, err := Current(dir)
	if err != nil {
		return err
	}
	s, err := Load(c)
	if err != nil {
		return err
	}
	defer s.Close()
	if s.Ignored(sha256.Sum256(eicar())) {
		return ErrNoEICAR
	}
	return s.matchesEICAR()
}

// editSilenced rewrites the list of dir: without name, then as add leaves it.
func editSilenced(dir, name string, add func([]string) []string) error {
	if !silenceable(name) {
		return fmt.Errorf("silence: %q is neither a rule's name, nor a pattern of names, nor a sha256", name)
	}
	unlock, err := lock(context.Background(), dir)
	if err != nil {
		return err
	}
	defer unlock()
	list, err := Silenced(dir)
	if err != nil {
		return err
	}
	list = add(slices.DeleteFunc(list, func(s string) bool { return s == name }))
	return writeFile(dir, silencedFile, []byte(strings.Join(append(list, ""), "\n")))
}

// maxSilenced bounds a name in the list of the silenced.
const maxSilenced = 256

// silenceable reports whether name can be a line of the list: printable ASCII
// without spaces, as rules' names, sets' names and digests are, and no bad pattern.
func silenceable(name string) bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	_, err := filepath.Match(name, "")
	return name != "" && len(name) <= maxSilenced && !strings.ContainsFunc(name, odd) && err == nil
}

// Silenced lists what Silence added in dir, in the order in which it came.
func Silenced(dir string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, silencedFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("compiled rules: %w", err)
	}
	return strings.Fields(string(data)), nil
}
