package accounts

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// sample makes a closed database file with accounts a000… and gives its bytes.
// Every third one is subscribed, every seventh closed.
func sample(t testing.TB, accounts int) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "accounts.db")
	db, err := Create(file, options(&clock{day(0)}))
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for i := range accounts {
		closed := ""
		if i%7 == 6 {
			closed = `,"closed":"2014-09-01T00:00:00Z","added":"2014-08-01T00:00:00Z"`
		}
		fmt.Fprintf(&lines, `{"account":{"address":%q,"inbound":{"subscribed":%t}%s}}`+"\n", name(i), i%3 == 0 && closed == "", closed)
	}
	if _, err := db.Import(strings.NewReader(lines.String()), ImportOptions{By: "root"}); err != nil {
		t.Fatal(err)
	}
	// A change in every transaction's way leaves free pages behind.
	if _, err := db.Change(name(1), Subscribed, Outbound, time.Time{}, "root"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func name(i int) string { return fmt.Sprintf("a%06d@example.jp", i) }

// rightOrError looks up every account of a sample. A wrong answer is the one
// thing that must not come: unknown bounces mail, unsubscribed lets viruses through.
func rightOrError(db *DB, accounts int) (failed int, wrong error) {
	for i := range accounts {
		a, err := db.Lookup(name(i))
		closed := i%7 == 6
		switch {
		case err != nil && closed && errors.Is(err, ErrUnknown):
		case errors.Is(err, ErrUnknown):
			return failed, fmt.Errorf("%s: %w", name(i), err)
		case err != nil:
			failed++
		case closed || a.Address != name(i) || a.Inbound.Active() != (i%3 == 0):
			return failed, fmt.Errorf("%s: %+v", name(i), a)
		}
	}
	return failed, nil
}

// boltFile makes a bbolt file with one bucket and key.
func boltFile(t *testing.T, bucket, key, value string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "b")
	b, err := bolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bucket))
		if err != nil {
			return err
		}
		return b.Put([]byte(key), []byte(value))
	}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// edited gives a copy with the two metas changed and their checksums made right again.
func edited(data []byte, edit func(meta []byte)) []byte {
	data = bytes.Clone(data)
	for _, at := range []int{pageHeader, os.Getpagesize() + pageHeader} {
		m := data[at : at+metaSum+8]
		edit(m)
		sum := fnv.New64a()
		sum.Write(m[:metaSum])
		native.PutUint64(m[metaSum:], sum.Sum64())
	}
	return data
}

func zeroed(data []byte, from, to int) []byte {
	data = bytes.Clone(data)
	clear(data[from:to])
	return data
}

func TestOpenRefuses(t *testing.T) {
	page := os.Getpagesize()
	good := sample(t, 300)
	random := make([]byte, 64<<10)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(random); i++ {
		random[i] = byte(r.Uint32())
	}
	for _, tt := range []struct {
		name string
		data []byte
		want error
		says string
	}{
		{"empty", nil, ErrForeign, "the file is empty"},
		{"random", random, ErrForeign, "backup"},
		{"text", []byte("taro@example.jp\n"), ErrForeign, ""},
		{"zeros", make([]byte, 64<<10), ErrForeign, ""},
		{"another program's", boltFile(t, "etcd", "a", "b"), ErrForeign, "of another program"},
		{"100 bytes", good[:100], ErrDamaged, ""},
		{"one page", good[:page], ErrDamaged, ""},
		{"one page and a byte less than two", good[:2*page-1], ErrDamaged, "cut short"},
		{"two pages", good[:2*page], ErrDamaged, "cut short"},
		{"four pages", good[:4*page], ErrDamaged, "cut short"},
		{"half", good[:len(good)/4/page*page], ErrDamaged, "cut short"},
		{"cut inside a page", good[:9*page+100], ErrDamaged, "cut short"},
		{"first meta page zeroed", zeroed(good, 0, page), ErrDamaged, "the last change may be lost"},
		{"second meta page zeroed", zeroed(good, page, 2*page), ErrDamaged, "the last change may be lost"},
		{"newer file format", edited(good, func(m []byte) { native.PutUint32(m[4:], 3) }), ErrNewer, "file format 3, this program knows 2"},
		{"newer schema", boltFile(t, "kiyome", "schema", "7"), ErrNewer, "schema is 7, this program knows 1"},
		{"schema of nonsense", boltFile(t, "kiyome", "schema", "x"), ErrDamaged, ""},
		{"buckets missing", boltFile(t, "kiyome", "schema", "1"), ErrDamaged, "accounts are missing"},
		{"page size of 3", edited(good, func(m []byte) { native.PutUint32(m[8:], 3) }), ErrDamaged, ""},
		{"page size of 4 GiB", edited(good, func(m []byte) { native.PutUint32(m[8:], 1<<31) }), ErrDamaged, ""},
		{"root out of bounds", edited(good, func(m []byte) { native.PutUint64(m[16:], 1<<60) }), ErrDamaged, ""},
		{"root is the list of free pages", edited(good, func(m []byte) { copy(m[16:24], m[32:40]) }), ErrDamaged, ""},
		{"no list of free pages", edited(good, func(m []byte) { native.PutUint64(m[32:], 1<<64-1) }), ErrDamaged, ""},
		{"a page that is neither used nor free", edited(append(bytes.Clone(good), make([]byte, page)...), func(m []byte) {
			native.PutUint64(m[40:], 1+max(native.Uint64(good[pageHeader+40:]), native.Uint64(good[page+pageHeader+40:])))
		}), ErrDamaged, "neither used nor free"},
		{"more pages than the file", edited(good, func(m []byte) { native.PutUint64(m[40:], 1<<62) }), ErrDamaged, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "accounts.db")
			if err := os.WriteFile(file, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, file, tt.want, tt.says)
			if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, tt.data) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}

func refused(t *testing.T, file string, want error, says string) {
	t.Helper()
	db, err := Open(file, options(&clock{day(0)}))
	if err == nil {
		db.Close()
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open: %v, want %q with the name of the file and %q on one line", err, want, says)
	}
	if err := CheckFile(file); !errors.Is(err, want) {
		t.Errorf("CheckFile: %v, want %q", err, want)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "gone"), link); err != nil {
		t.Fatal(err)
	}
	refused(t, filepath.Join(dir, "none"), ErrMissing, "kiyome account add")
	refused(t, filepath.Join(dir, "no", "folder"), ErrMissing, "mount")
	refused(t, link, ErrForeign, "a link to "+filepath.Join(dir, "gone")+", where nothing is")
	refused(t, dir, ErrForeign, "a folder")
	refused(t, "/dev/null", ErrForeign, "a device")
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("Open made something: %q", left)
	}
	if os.Geteuid() != 0 {
		locked := filepath.Join(dir, "locked")
		if err := os.WriteFile(locked, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		refused(t, locked, fs.ErrPermission, "run as")
	}
}

// TestCreate: only where nothing is, whole, private, and without leftovers.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "accounts.db")
	db, err := Create(file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := Create(file, Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create: %v", err)
	}
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(other, Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over another file: %v", err)
	}
	if data, _ := os.ReadFile(other); string(data) != "precious" {
		t.Errorf("it holds %q now", data)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestCreateByRoot: the server, which runs as the owner of the folder, can open it.
func TestCreateByRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 1234, 2345); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "accounts.db")
	db, err := Create(file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var s unix.Stat_t
	if err := unix.Stat(file, &s); err != nil || s.Uid != 1234 || s.Gid != 2345 || s.Mode&0o777 != 0o600 {
		t.Errorf("it belongs to %d:%d, mode %o, %v", s.Uid, s.Gid, s.Mode, err)
	}
}

// TestDamagedPages: each page in turn zeroed, or filled with noise, or with
// another page: refused, or harmless since the page was free.
func TestDamagedPages(t *testing.T) {
	const accounts = 300
	page := os.Getpagesize()
	good := sample(t, accounts)
	m, err := readMeta(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, page)
	for i := range noise {
		noise[i] = byte(i * 7)
	}
	dir := t.TempDir()
	var refusals, harmless int
	for i := range int(m.high) {
		otherID := bytes.Clone(good[i*page : (i+1)*page])
		otherID[0] ^= 1
		for what, content := range [][]byte{make([]byte, page), otherID, noise, good[4*page : 5*page], append(bytes.Clone(good[i*page:i*page+100]), noise[100:]...)} {
			data := bytes.Clone(good)
			copy(data[i*page:(i+1)*page], content)
			file := filepath.Join(dir, "accounts.db")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := Open(file, options(&clock{day(0)}))
			if err != nil {
				refusals++
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("page %d, content %d: %v", i, what, err)
				}
				continue
			}
			harmless++
			if failed, wrong := rightOrError(db, accounts); wrong != nil || failed > 0 {
				t.Errorf("page %d, content %d: %d look-ups failed, %v", i, what, failed, wrong)
			}
			db.Close()
		}
	}
	if refusals < 100 || harmless == 0 {
		t.Errorf("%d refusals, %d harmless: that shows little", refusals, harmless)
	}
}

// TestKeysOutOfOrder: two keys of a leaf that stand the wrong way round would
// make bbolt's search miss both.
func TestKeysOutOfOrder(t *testing.T) {
	page := os.Getpagesize()
	good := sample(t, 300)
	refusals := 0
	for at := 2 * page; at+page <= len(good); at += page {
		es, err := elements(good[at:at+page], native.Uint16(good[at+8:]))
		if err != nil || es.flags != leafPage || es.count < 2 {
			continue
		}
		a, err := es.at(0)
		b, err2 := es.at(1)
		if err != nil || err2 != nil || len(a.key) != len(b.key) || a.bucket {
			continue
		}
		key := bytes.Clone(a.key)
		copy(a.key, b.key)
		copy(b.key, key)
		if err := verifyPages(bytes.NewReader(good), int64(len(good))); errors.Is(err, ErrDamaged) {
			refusals++ // else the page is a free one
		}
		copy(b.key, a.key)
		copy(a.key, key)
	}
	if refusals < 10 {
		t.Errorf("%d pages refused", refusals)
	}
}

// TestFlippedBits: one bit anywhere in the file never makes a wrong answer.
func TestFlippedBits(t *testing.T) {
	const accounts = 60
	good := sample(t, accounts)
	m, err := readMeta(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	dir, random := t.TempDir(), rand.New(rand.NewPCG(3, 4))
	var refusals, single int
	for range 400 {
		bit := random.IntN(int(m.high) * os.Getpagesize() * 8)
		data := bytes.Clone(good)
		data[bit/8] ^= 1 << (bit % 8)
		file := filepath.Join(dir, "accounts.db")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := Open(file, options(&clock{day(0)}))
		if err != nil {
			refusals++
			continue
		}
		failed, wrong := rightOrError(db, accounts)
		if wrong != nil {
			t.Errorf("bit %d: %v", bit, wrong)
		}
		if failed > 0 {
			single++
			if problems, whole, err := db.Check(); err != nil || len(problems) == 0 || failed == 1 && whole != accounts-1 {
				t.Errorf("bit %d: Check: %q, %d whole, %v", bit, problems, whole, err)
			}
		}
		db.Close()
	}
	if refusals == 0 || single == 0 {
		t.Errorf("%d files refused, %d with a damaged account: that shows little", refusals, single)
	}
}

// TestDamagedRecord: one account cannot be told, the others are served.
func TestDamagedRecord(t *testing.T) {
	damage := map[string]func(tx *bolt.Tx) error{
		"record flipped": func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketAccounts)
			v := bytes.Clone(b.Get([]byte(name(3))))
			v[len(v)/2] ^= 1
			return b.Put([]byte(name(3)), v)
		},
		"record cut": func(tx *bolt.Tx) error { return tx.Bucket(bucketAccounts).Put([]byte(name(3)), []byte{1}) },
		"record of another": func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketAccounts)
			return b.Put([]byte(name(3)), bytes.Clone(b.Get([]byte(name(4)))))
		},
		"record gone": func(tx *bolt.Tx) error { return tx.Bucket(bucketAccounts).Delete([]byte(name(3))) },
		"record sealed, without sense": func(tx *bolt.Tx) error {
			return tx.Bucket(bucketAccounts).Put([]byte(name(3)), seal([]byte(name(3)), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")))
		},
	}
	for what, f := range damage {
		t.Run(what, func(t *testing.T) {
			db, _ := fresh(t)
			for i := range 6 {
				add(t, db, name(i))
			}
			if err := db.update(f); err != nil {
				t.Fatal(err)
			}
			for i := range 6 {
				_, err := db.Lookup(name(i))
				if errors.Is(err, ErrDamaged) != (i == 3) || i != 3 && err != nil || errors.Is(err, ErrUnknown) {
					t.Errorf("Lookup %d: %v", i, err)
				}
			}
			if _, err := db.Change(name(3), Subscribed, Inbound, time.Time{}, "root"); !errors.Is(err, ErrDamaged) {
				t.Errorf("Change: %v", err)
			}
			if _, err := db.Add(NewAccount{Address: name(3)}); !errors.Is(err, ErrDamaged) {
				t.Errorf("Add: %v", err)
			}
			n := 0
			if err := db.List(func(Account) bool { n++; return true }); n != 5 || what != "record gone" && !errors.Is(err, ErrDamaged) {
				t.Errorf("List: %d, %v", n, err)
			}
			problems, whole, err := db.Check()
			if err != nil || whole != 5 || len(problems) == 0 || !strings.Contains(strings.Join(problems, "\n"), name(3)) {
				t.Errorf("Check: %q, %d, %v", problems, whole, err)
			}
		})
	}
}

// TestDamagedLedger: what the record cannot show, Check and History do.
func TestDamagedLedger(t *testing.T) {
	key := eventKey(4) // the second of name(1)
	damage := map[string]func(tx *bolt.Tx) error{
		"event flipped": func(tx *bolt.Tx) error {
			v := bytes.Clone(tx.Bucket(bucketEvents).Get(key))
			v[len(v)/2] ^= 1
			return tx.Bucket(bucketEvents).Put(key, v)
		},
		"event gone": func(tx *bolt.Tx) error { return tx.Bucket(bucketEvents).Delete(key) },
		"entry gone": func(tx *bolt.Tx) error { return tx.Bucket(bucketLedger).Delete(append(ledgerPrefix(name(1)), key...)) },
		"record older than its events": func(tx *bolt.Tx) error {
			r, err := find(tx, name(1))
			r.account.Inbound.Subscribed = true
			return errors.Join(err, tx.Bucket(bucketAccounts).Put([]byte(name(1)), sealRecord(r)))
		},
	}
	for what, f := range damage {
		t.Run(what, func(t *testing.T) {
			db, _ := fresh(t)
			for i := range 3 {
				add(t, db, name(i))
			}
			if _, err := db.Change(name(1), Subscribed, Outbound, time.Time{}, "x"); err != nil {
				t.Fatal(err)
			}
			if err := db.update(f); err != nil {
				t.Fatal(err)
			}
			problems, whole, err := db.Check()
			if err != nil || whole != 2 || len(problems) == 0 {
				t.Errorf("Check: %q, %d, %v", problems, whole, err)
			}
			for _, p := range problems {
				if !strings.Contains(p, name(1)) {
					t.Errorf("Check does not say whose this is: %s", p)
				}
			}
			if _, err := db.History(name(1)); errors.Is(err, ErrDamaged) != (what != "record older than its events") {
				t.Errorf("History: %v", err)
			}
			if _, err := db.History(name(0)); err != nil {
				t.Errorf("History of another: %v", err)
			}
		})
	}
}

// TestFileTakenAway: removed, replaced or cut short while it is open.
func TestFileTakenAway(t *testing.T) {
	const accounts = 300
	for _, tt := range []struct {
		name    string
		take    func(file string) error
		lookups bool
	}{
		{"removed", os.Remove, true},
		{"replaced", func(file string) error {
			return errors.Join(os.WriteFile(file+"2", []byte("x"), 0o600), os.Rename(file+"2", file))
		}, true},
		{"cut to nothing", func(file string) error { return os.Truncate(file, 0) }, false},
		{"cut to a page", func(file string) error { return os.Truncate(file, 4096) }, false},
		{"cut inside a page", func(file string) error { return os.Truncate(file, 40_000) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "accounts.db")
			if err := os.WriteFile(file, sample(t, accounts), 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := Open(file, options(&clock{day(0)}))
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.take(file); err != nil {
				t.Fatal(err)
			}
			failed, wrong := rightOrError(db, accounts)
			if wrong != nil || (failed == 0) != tt.lookups {
				t.Errorf("%d look-ups failed, %v", failed, wrong)
			}
			if _, err := db.Change(name(0), Paused, Inbound, time.Time{}, "root"); !errors.Is(err, ErrDamaged) {
				t.Errorf("Change: %v", err)
			}
			closed := make(chan error, 1)
			go func() { closed <- db.Close() }()
			select {
			case <-closed:
			case <-time.After(10 * time.Second):
				t.Error("Close hangs")
			}
		})
	}
}

// TestFaultInMapping: the file loses pages after the size was looked at. What
// is then a fault of the processor, and a lock that bbolt never gives back, is an error for
// everybody who comes.
func TestFaultInMapping(t *testing.T) {
	file := filepath.Join(t.TempDir(), "accounts.db")
	if err := os.WriteFile(file, sample(t, 300), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := Open(file, options(&clock{day(0)}))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	db.current.whole.Store(0) // as if begin had looked before
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if _, err := db.Lookup(name(0)); !errors.Is(err, ErrDamaged) {
				t.Errorf("Lookup: %v", err)
			}
		})
	}
	wait.Wait()
	if _, err := db.Add(NewAccount{Address: "b@example.jp"}); !errors.Is(err, ErrDamaged) {
		t.Errorf("Add: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestClosedDatabase(t *testing.T) {
	db, _ := fresh(t)
	add(t, db, "taro@example.jp")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Lookup("taro@example.jp"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("Lookup: %v", err)
	}
	if _, err := db.Add(NewAccount{Address: "b@example.jp"}); err == nil {
		t.Error("Add: no error")
	}
}

// TestPagesAgreesWithBolt: whatever bbolt wrote, also large values, many deletions
// and nested buckets, is whole to the reader of pages.
func TestPagesAgreesWithBolt(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 9))
		file := filepath.Join(t.TempDir(), "b")
		b, err := bolt.Open(file, 0o600, &bolt.Options{NoSync: true, PageSize: 1024 << (seed % 4)})
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			if err := b.Update(func(tx *bolt.Tx) error { return scribble(tx, random) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifyPages(bytes.NewReader(data), int64(len(data))); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

func scribble(tx *bolt.Tx, random *rand.Rand) error {
	b, err := tx.CreateBucketIfNotExists([]byte{'a' + byte(random.IntN(5))})
	if err != nil {
		return err
	}
	small, err := b.CreateBucketIfNotExists([]byte("small"))
	if err != nil {
		return err
	}
	if err := small.Put([]byte{byte(random.IntN(5))}, nil); err != nil {
		return err
	}
	for range 80 {
		key := fmt.Appendf(nil, "k%d", random.IntN(2000))
		if random.IntN(3) == 0 {
			err = b.Delete(key)
		} else {
			err = b.Put(key, make([]byte, random.IntN(20)*random.IntN(400)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// FuzzOpen: a file with anything written anywhere is refused, or answers
// rightly or with an error; it never ends the process.
func FuzzOpen(f *testing.F) {
	const accounts = 60
	good := sample(f, accounts)
	f.Add(uint32(8), []byte{0, 0}, uint32(0))
	f.Add(uint32(4096*5+10), []byte{0xff, 0xff}, uint32(0))
	f.Add(uint32(0), []byte{}, uint32(40000))
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, cut uint32) {
		data := bytes.Clone(good)
		copy(data[int(at)%len(data):], patch)
		data = data[:len(data)-int(cut)%len(data)]
		file := filepath.Join(t.TempDir(), "accounts.db")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := Open(file, options(&clock{day(0)}))
		if err != nil {
			return
		}
		defer db.Close()
		if _, wrong := rightOrError(db, accounts); wrong != nil {
			t.Error(wrong)
		}
		db.Check()
		db.Change(name(0), Paused, Inbound, time.Time{}, "root")
	})
}
