package rules

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hillu/go-yara/v4"
	"golang.org/x/sys/unix"
)

// header is the first line of a file of compiled rules, in JSON. What libyara
// wrote comes after it, so that one digest covers the rules and all that decides
// what they count for.
type header struct {
	Version string
	Rules   int
	Built   time.Time
	Libyara string
	Ignore  []string
	Sets    map[string]SetConfig
	Plain   int  `json:",omitempty"` // bytes at the end: the rules for what is no program
	Steady  bool // see isSteady
}

// encodeRules gives the content of a file of compiled rules.
func encodeRules(h header, r compiledRules) ([]byte, error) {
	var all, plain bytes.Buffer
	err := r.all.Write(&all)
	if r.plain != nil {
		err = errors.Join(err, r.plain.Write(&plain))
	}
	h.Plain, h.Steady = plain.Len(), r.steady
	line, jsonErr := json.Marshal(h)
	if err := errors.Join(err, jsonErr); err != nil {
		return nil, fmt.Errorf("save compiled rules: %w", err)
	}
	return slices.Concat(line, []byte("\n"), all.Bytes(), plain.Bytes()), nil
}

// readRules reads the file that c describes and checks it. libyara gets the very
// bytes that were checked: it is not safe against others.
func readRules(c Compiled) (h header, r compiledRules, err error) {
	data, err := readVerified(c)
	if err != nil {
		return h, r, err
	}
	line, compiled, ok := bytes.Cut(data, []byte("\n"))
	if !ok {
		return h, r, fmt.Errorf("compiled rules %s: no header", c.Path)
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, r, fmt.Errorf("compiled rules %s: header: %w", c.Path, err)
	}
	switch {
	case h.Libyara != LibyaraVersion():
		return h, r, fmt.Errorf("compiled rules %s: made by libyara %s, this is %s", c.Path, h.Libyara, LibyaraVersion())
	case h.Plain < 0 || h.Plain > len(compiled):
		return h, r, fmt.Errorf("compiled rules %s: header: %d bytes of rules", c.Path, h.Plain)
	}
	end := len(compiled) - h.Plain
	r.steady = h.Steady
	if r.all, err = yara.ReadRules(bytes.NewReader(compiled[:end])); err != nil {
		return h, r, fmt.Errorf("compiled rules %s: %w", c.Path, err)
	}
	if h.Plain > 0 {
		if r.plain, err = yara.ReadRules(bytes.NewReader(compiled[end:])); err != nil {
			r.all.Destroy()
			return h, r, fmt.Errorf("compiled rules %s: %w", c.Path, err)
		}
	}
	return h, r, nil
}

// readVerified reads the file that c describes if it has c's digest.
func readVerified(c Compiled) ([]byte, error) {
	data, err := os.ReadFile(c.Path)
	if err != nil {
		return nil, fmt.Errorf("compiled rules: %w", err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != c.Digest {
		return nil, fmt.Errorf("compiled rules %s: %w", c.Path, ErrDamaged)
	}
	return data, nil
}

// Names of the files in the folder of compiled rules.
const (
	manifestFile = "manifest.json"
	silencedFile = "silenced"
	lockFile     = "lock"
	rulesExt     = ".rules"
	partExt      = ".part" // a file being written
)

// generation is a compiled set as the manifest remembers it.
type generation struct {
	File     string // in the folder of the manifest
	Digest   string
	Version  string
	Rules    int
	Built    time.Time
	Inputs   string    // digest of what it was made of
	Problems []Problem // found when it was made
	Sets     []string  // whose rules are in it
	Files    []string  // that were compiled
}

// loses names what serves in g and would not in a set that is made of files of
// sets: sets that have gone, and files that are there and have a fault now. A file
// that was taken out of its set is no loss: somebody meant it; and the built-in set
// goes only when it is switched off.
func (g generation) loses(sets []sourceSet, files []string) (lost []string) {
	there := make(map[string]bool)
	for _, s := range sets {
		there["set "+s.name] = true
		for _, src := range s.sources {
			there[src.name()] = true
		}
	}
	for _, name := range g.Sets {
		if name != builtinSet && !there["set "+name] {
			lost = append(lost, "set "+name)
		}
	}
	good := make(map[string]bool)
	for _, f := range files {
		good[f] = true
	}
	for _, f := range g.Files {
		if there[f] && !good[f] {
			lost = append(lost, f)
		}
	}
	return lost
}

func (g generation) compiled(dir string) Compiled {
	return Compiled{Path: filepath.Join(dir, g.File), Digest: g.Digest, Version: g.Version, Rules: g.Rules, Built: g.Built}
}

// manifest says which compiled set serves.
type manifest struct {
	Current  *generation `json:",omitempty"`
	Previous *generation `json:",omitempty"`
	// Left is the inputs digest of the set that Rollback took out of service: Build
	// does not bring it back as long as nothing changed.
	Left string `json:",omitempty"`
}

// readManifest gives an empty manifest when there is none.
func readManifest(dir string) (m manifest, err error) {
	data, err := os.ReadFile(filepath.Join(dir, manifestFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, nil
	case err != nil:
		return m, fmt.Errorf("compiled rules: %w", err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return manifest{}, fmt.Errorf("compiled rules: %s: %w", filepath.Join(dir, manifestFile), err)
	}
	for _, g := range []*generation{m.Current, m.Previous} {
		if g != nil && (filepath.Base(g.File) != g.File || filepath.Ext(g.File) != rulesExt) {
			return manifest{}, fmt.Errorf("compiled rules: %s: %q is no file of compiled rules", filepath.Join(dir, manifestFile), g.File)
		}
	}
	return m, nil
}

// write makes m the manifest of dir and removes what it does not name.
func (m manifest) write(dir string) error {
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return fmt.Errorf("compiled rules: %w", err)
	}
	if err := writeFile(dir, manifestFile, append(data, '\n')); err != nil {
		return err
	}
	return m.sweep(dir)
}

// sweep removes compiled sets that m does not name and files that a crash left.
func (m manifest) sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("compiled rules: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		used := m.Current != nil && m.Current.File == name || m.Previous != nil && m.Previous.File == name
		if ext := filepath.Ext(name); ext == partExt || ext == rulesExt && !used {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("compiled rules: %w", err)
			}
		}
	}
	return nil
}

// writeFile puts a file in dir so that it is there whole, and durable, or as it was.
func writeFile(dir, name string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("compiled rules: %w", err)
		}
	}()
	f, err := os.CreateTemp(dir, name+".*"+partExt)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lockPoll is how often a lock that another holds is asked for again. A build may
// take seconds.
const lockPoll = 50 * time.Millisecond

// lock takes the lock of dir, which is made when it is missing.
func lock(ctx context.Context, dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("compiled rules: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("compiled rules: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
			select {
			case <-time.After(lockPoll):
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		f.Close()
		return nil, fmt.Errorf("compiled rules: lock %s: %w", dir, err)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
