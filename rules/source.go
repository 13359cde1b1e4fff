package rules

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// localSet is the set of the files that lie in a rules folder itself.
const localSet = "local"

// maxSource bounds one source file. The largest public ones have a few MiB.
const maxSource = 64 << 20

// tree is a snapshot of the YARA files of one folder. What is compiled, included
// and digested is what was read here once: nothing can change in between, and no
// include leads out of it.
type tree struct {
	dir   string            // as problems name it
	files map[string]string // text by slash-separated path in the folder

	declares func() map[string]string // rule name to the file that seems to declare it
}

// source is a file to compile.
type source struct {
	tree *tree
	path string
}

func (s source) text() string { return s.tree.files[s.path] }
func (s source) name() string { return s.tree.place(s.path) }

// sourceSet is a set in source form: the files of one namespace in their order.
type sourceSet struct {
	name    string
	sources []source
}

// files counts the files of the set, those that are only included too.
func (s sourceSet) files() (n int) {
	for i, src := range s.sources {
		if i == 0 || src.tree != s.sources[i-1].tree {
			n += len(src.tree.files)
		}
	}
	return n
}

func newTree(dir string) *tree {
	t := &tree{dir: dir, files: map[string]string{}}
	t.declares = sync.OnceValue(t.findDeclarations)
	return t
}

// place names a file of t for people.
func (t *tree) place(file string) string { return filepath.Join(t.dir, filepath.FromSlash(file)) }

// sorted gives the paths of t in the order in which they are compiled.
func (t *tree) sorted() []string {
	paths := make([]string, 0, len(t.files))
	for p := range t.files {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths
}

// sources gives what of t is compiled: its index when it has one, else every file.
func (t *tree) sources() []source {
	if _, ok := t.files["index.yar"]; ok {
		return []source{{t, "index.yar"}}
	}
	var list []source
	for _, p := range t.sorted() {
		list = append(list, source{t, p})
	}
	return list
}

// declaration finds rule names in source. It takes those in comments too: what it
// finds is where to look, not what is there.
var declaration = regexp.MustCompile(`\brule\s+([A-Za-z_]\w*)`)

func (t *tree) findDeclarations() map[string]string {
	where := map[string]string{}
	for _, p := range t.sorted() {
		for _, m := range declaration.FindAllStringSubmatch(t.files[p], -1) {
			if _, ok := where[m[1]]; !ok {
				where[m[1]] = p
			}
		}
	}
	return where
}

func isYARA(name string) bool {
	ext := path.Ext(name)
	return (ext == ".yar" || ext == ".yara") && !strings.HasPrefix(path.Base(name), ".")
}

// read takes one file into t.
func (t *tree) read(fsys fs.FS, name string) error {
	// A link is followed as far as fsys lets it: an os.Root not out of the folder.
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if info.Size() > maxSource {
		return fmt.Errorf("larger than %d MiB", maxSource>>20)
	}
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	// libyara would take the first NUL for the end and serve half of the file.
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return fmt.Errorf("NUL byte in line %d", 1+bytes.Count(text[:i], []byte("\n")))
	}
	t.files[name] = string(bytes.TrimPrefix(text, []byte("\ufeff")))
	return nil
}

// readTree reads the YARA files in fsys, with its sub-folders when deep. Hidden
// folders, such as version control keeps, are passed over.
func readTree(fsys fs.FS, dir string, deep bool) (*tree, []Problem) {
	t := newTree(dir)
	var problems []Problem
	note := func(p string, err error) {
		if cause := new(fs.PathError); errors.As(err, &cause) {
			err = cause.Err // without the path, which the problem has already
		}
		problems = append(problems, Problem{File: t.place(p), Message: err.Error()})
	}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			note(p, err)
		case d.IsDir() && p != "." && (!deep || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case !d.IsDir() && isYARA(p):
			if err := t.read(fsys, p); err != nil {
				note(p, err)
			}
		}
		return nil
	})
	if err != nil {
		note(".", err)
	}
	return t, problems
}

// readDir reads the YARA files of a folder, confined to it.
func readDir(dir string, deep bool) (*tree, []Problem) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return newTree(dir), []Problem{pathProblem(dir, err)}
	}
	defer root.Close()
	return readTree(root.FS(), dir, deep)
}

func pathProblem(file string, err error) Problem {
	if cause := new(fs.PathError); errors.As(err, &cause) {
		err = cause.Err
	}
	return Problem{File: file, Message: err.Error()}
}

// collection gathers sets by name, in the order in which the names come.
type collection struct {
	sets     []sourceSet
	problems []Problem
}

func (c *collection) add(name string, sources []source) {
	i := slices.IndexFunc(c.sets, func(s sourceSet) bool { return s.name == name })
	if i < 0 {
		i = len(c.sets)
		c.sets = append(c.sets, sourceSet{name: name})
	}
	c.sets[i].sources = append(c.sets[i].sources, sources...)
}

// readSources reads all that c names.
func readSources(c Config) ([]sourceSet, []Problem) {
	var all collection
	if c.Builtin {
		t, problems := readTree(builtin, builtinSet, true)
		all.add(builtinSet, t.sources())
		all.problems = append(all.problems, problems...)
	}
	for _, dir := range c.Dirs {
		all.readOperator(dir)
	}
	return all.sets, all.problems
}

// includes finds an include directive, or something like it in a comment.
var includes = regexp.MustCompile(`(?m)\binclude\s*"`)

// readOperator reads a rules folder or a single file.
func (c *collection) readOperator(dir string) {
	info, err := os.Stat(dir)
	if err != nil {
		c.problems = append(c.problems, pathProblem(dir, err))
		return
	}
	if !info.IsDir() {
		c.readSingle(dir)
		return
	}
	t, problems := readDir(dir, false)
	c.add(localSet, t.sources())
	c.problems = append(c.problems, problems...)
	entries, err := os.ReadDir(dir)
	if err != nil {
		c.problems = append(c.problems, pathProblem(dir, err))
	}
	for _, e := range entries {
		sub := filepath.Join(dir, e.Name())
		info, err := os.Stat(sub) // a set may be a link to where it is kept
		switch {
		case strings.HasPrefix(e.Name(), ".") || err != nil || !info.IsDir():
		case e.Name() == builtinSet:
			c.problems = append(c.problems, Problem{File: sub, Message: "the name is taken by the rules that come with kiyome: rename the folder"})
		default:
			t, problems := readDir(sub, true)
			c.add(e.Name(), t.sources())
			c.problems = append(c.problems, problems...)
		}
	}
}

// readSingle reads one file, and its folder when it includes others from there.
func (c *collection) readSingle(file string) {
	dir, base := filepath.Split(file)
	dir = cmp.Or(dir, ".")
	t := newTree(filepath.Clean(dir))
	root, err := os.OpenRoot(dir)
	if err != nil {
		c.problems = append(c.problems, pathProblem(file, err))
		return
	}
	defer root.Close()
	if err := t.read(root.FS(), base); err != nil {
		c.problems = append(c.problems, pathProblem(file, err))
		return
	}
	if text := t.files[base]; includes.MatchString(text) {
		t, _ = readTree(root.FS(), t.dir, true) // what else is wrong there concerns nobody until it is included
		t.files[base] = text
	}
	c.add(localSet, []source{{t, base}})
}

// inputs is the digest of all that decides what a build makes: sources,
// configuration and libyara.
func inputs(c Config, sets []sourceSet) (string, error) {
	config, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("digest of the rules: %w", err)
	}
	h := sha256.New()
	writeField(h, "kiyome rules 2", LibyaraVersion(), string(config))
	for _, s := range sets {
		writeField(h, s.name)
		for i, src := range s.sources {
			writeField(h, src.path)
			if i > 0 && src.tree == s.sources[i-1].tree {
				continue // a tree is digested whole, with what may be included
			}
			for _, p := range src.tree.sorted() {
				writeField(h, p, src.tree.files[p])
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// writeField writes each string after its length, so that no two lists read alike.
func writeField(h hash.Hash, fields ...string) {
	for _, f := range fields {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(f))))
		h.Write([]byte(f))
	}
}
