package accounts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/japanese"
)

func importText(db *DB, text string) (Imported, error) {
	return db.Import(strings.NewReader(text), ImportOptions{By: "root"})
}

const handmade = "\uFEFF" + `Owner, address ,inbound,inbound_since,outbound,no_course,forward,no_copy,added,closed,language,maildir
"山田, ""太郎""",Taro@Example.jp,subscribed,2014-10-31 23:59:59,no,,,,2014-01-01,,en,/home/taro/Maildir
,hanako@example.jp,paused,2014-03-03,SUBSCRIBED,yes,x@example.com y@example.com,yes,2014-01-01T00:00:00+09:00,,,
,jiro@example.jp,no,,,,,,2014-01-01,2014-06-30,,

,,,,,,,,,,,
,saburo@example.jp,,,,no,,no,,,,
`

func checkHandmade(t *testing.T, db *DB) {
	t.Helper()
	taro, _ := db.Get("taro@example.jp")
	hanako, _ := db.Get("hanako@example.jp")
	jiro, _ := db.Get("jiro@example.jp")
	saburo, _ := db.Get("saburo@example.jp")
	if taro.Owner != `山田, "太郎"` || taro.Language != "en" || taro.Maildir != "/home/taro/Maildir" || !taro.Inbound.Active() ||
		!taro.Inbound.Since.Equal(local(t, "2014-10-31 23:59:59", tokyo)) || !taro.Added.Equal(local(t, "2014-01-01", tokyo)) {
		t.Errorf("taro: %+v", taro)
	}
	if !hanako.Inbound.Paused || !hanako.Outbound.Active() || !hanako.NoCourse || !hanako.NoCopy || len(hanako.Forward) != 2 ||
		hanako.Language != "ja" || hanako.Maildir != "/var/vmail/example.jp/hanako/Maildir" {
		t.Errorf("hanako: %+v", hanako)
	}
	if !jiro.Closed.Equal(local(t, "2014-06-30", tokyo)) {
		t.Errorf("jiro: %+v", jiro)
	}
	if saburo.Inbound.Subscribed || saburo.NoCourse || saburo.NoCopy || !saburo.open() {
		t.Errorf("saburo: %+v", saburo)
	}
	sound(t, db)
}

func TestImportOfTables(t *testing.T) {
	cp932, err := japanese.ShiftJIS.NewEncoder().String(strings.TrimPrefix(handmade, "\uFEFF"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, text string }{
		{"UTF-8 with a mark", handmade},
		{"UTF-8", strings.TrimPrefix(handmade, "\uFEFF")},
		{"cp932", cp932},
		{"CRLF", strings.ReplaceAll(handmade, "\n", "\r\n")},
		{"without a line end", strings.TrimSpace(handmade)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, c := shop(t, "2014-11-15")
			for _, want := range []Imported{{Added: 4}, {Unchanged: 4}, {Unchanged: 4}} {
				if n, err := importText(db, tt.text); n != want || err != nil {
					t.Fatalf("%+v, %v, want %+v", n, err, want)
				}
				c.now = c.now.Add(time.Hour)
			}
			checkHandmade(t, db)
		})
	}
}

func TestWrongTables(t *testing.T) {
	for _, tt := range []struct{ name, text, says string }{
		{"unknown column", "address,colour\na@b,red\n", `line 1: there is no column "colour"; the columns are address, owner, main, no_course, language,`},
		{"no address", "owner\n7\n", "there is no column address; the columns are"},
		{"a column twice", "address,owner,OWNER\na@b,1,2\n", `two columns "owner"`},
		{"semicolons", "address;owner\na@b;7\n", `no column "address;owner"`},
		{"too many fields", "address,owner\na@b,7\nb@b,7,8\n", "row 2 (line 3): 3 fields"},
		{"too few fields", "address,owner\na@b\n", "row 1 (line 2): 1 fields"},
		{"malformed address", "address\na@b\nb\n", "row 2 (line 3): \"b\": malformed"},
		{"language", "address,language\na@b,fr\n", "row 1 (line 2): a@b: not a possible setting: language"},
		{"state", "address,inbound\na@b,perhaps\n", `row 1 (line 2): inbound: "perhaps" is none of`},
		{"yes or no", "address,main\na@b,perhaps\n", `row 1 (line 2): main: "perhaps" is neither`},
		{"time", "address,added\na@b,yesterday\n", `row 1 (line 2): added: "yesterday" is not a time`},
		{"the main mailbox of nobody", "address,main\na@b,yes\n", "row 1 (line 2): a@b: not a possible setting"},
		{"outbound paused", "address,outbound\na@b,paused\n", "outbound cannot be paused"},
		{"added in the future", "address,added\na@b,2034-01-01\n", "row 1 (line 2)"},
		{"events", "address,events\na@b,{\n", "row 1 (line 2): events: "},
		{"a stray quote", "address,owner\na@b,7\nb@b,\"7\"8\nc@b,7\n", "row 2 (line 3): column 7: extraneous or missing"},
		{"a quote without an end", "address,owner\na@b,\"7\nb@b,8\n", "row 1 (line 2)"},
		{"over several lines", "address,owner\n\"a@b\",\"7\n8\"\nb,9\n", "row 1 (line 2): a@b: not a possible setting: owner is over 255 bytes or has control characters\n  row 2 (line 4)"},
		{"twice", "address,owner\nA@b,7\nc@b,7\na@b,7\n", "row 3 (line 4): a@b: account exists already: it is in row 1 (line 2) too"},
		{"a Maildir twice", "address,maildir\na@b,/m/x\nc@b,/m/x\n", "row 2 (line 3): not a possible setting: the Maildir /m/x is that of a@b and of c@b"},
		{"another's Maildir", "address,maildir\na@b,/var/vmail/example.jp/known/Maildir\n", "is that of a@b and of known@example.jp"},
		{"UTF-16", "\xFF\xFEa\x00", "not a file of accounts: it is UTF-16"},
		{"neither UTF-8 nor cp932", "address,owner\na@b,x\nb@b,\x80\xFF\xFF\n", "row 2 (line 3): owner: neither UTF-8 nor cp932"},
		{"a mark, and then cp932", "\uFEFFaddress,owner\na@b,\x8E\x52\n", "it begins as UTF-8"},
		{"a row of 17 MiB", "address,owner\na@b,\"" + strings.Repeat("x", 17<<20), "a row of over 16 MiB"},
		{"another history", "address,events\nknown@example.jp,\"[{\"\"seq\"\":1,\"\"address\"\":\"\"known@example.jp\"\",\"\"kind\"\":\"\"added\"\",\"\"by\"\":\"\"x\"\",\"\"at\"\":\"\"2014-01-01T00:00:00Z\"\",\"\"effective\"\":\"\"2014-01-01T00:00:00Z\"\",\"\"settings\"\":{\"\"language\"\":\"\"ja\"\",\"\"maildir\"\":\"\"/m\"\"}}]\"\n", "another history"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, _ := shop(t, "2014-11-15")
			add(t, db, "known@example.jp")
			before := everything(t, db)
			n, err := importText(db, tt.text)
			if err == nil || n != (Imported{}) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "nothing was imported") {
				t.Errorf("%+v, %v, want %q", n, err, tt.says)
			}
			if after := everything(t, db); after != before {
				t.Errorf("it holds\n%s", after)
			}
			sound(t, db)
		})
	}
}

// TestEachWrongRowIsTold, but no more than people read.
func TestEachWrongRowIsTold(t *testing.T) {
	db, _ := shop(t, "2014-11-15")
	text := "address\n" + strings.Repeat("ok@b\nbad\n", 5)
	_, err := importText(db, strings.Replace(text, "ok@b\nbad\nok@b", "a@b\nbad\nb@b", 1))
	for _, want := range []string{"5 rows are wrong\n", "\n  row 2 (line 3): ", "\n  row 10 (line 11): "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: no %q", err, want)
		}
	}
	if !errors.Is(err, ErrMalformed) || !errors.Is(err, ErrFormat) {
		t.Errorf("%v is not of its kinds", err)
	}
	_, err = importText(db, "address\n"+strings.Repeat("bad\n", 1000))
	if err == nil || !strings.Contains(err.Error(), "20 rows are wrong, and perhaps more") || strings.Count(err.Error(), "\n") != 20 {
		t.Errorf("%v", err)
	}
}

// TestALateWrongRow: however far down it is, and whatever the order of the rows.
func TestALateWrongRow(t *testing.T) {
	db, _ := shop(t, "2014-11-15")
	const rows, wrong = 20_000, 17_777
	write := func(bad string) string {
		var b strings.Builder
		b.WriteString("address,inbound\n")
		for i, n := range rand.New(rand.NewPCG(3, 4)).Perm(rows) {
			state := "subscribed"
			if i+1 == wrong {
				state = bad
			}
			fmt.Fprintf(&b, "%s,%s\n", name(n), state)
		}
		return b.String()
	}
	if n, err := importText(db, write("subscribe")); err == nil || !strings.Contains(err.Error(), "row 17777 (line 17778)") {
		t.Fatalf("%+v, %v", n, err)
	}
	var told []string
	n, err := db.Import(strings.NewReader(write("paused")), ImportOptions{By: "root", Progress: func(done, all int) {
		told = append(told, fmt.Sprint(done, " of ", all))
	}})
	if err != nil || n.Added != rows {
		t.Fatalf("%+v, %v", n, err)
	}
	if !slices.Contains(told, "256 of 0") || told[len(told)-1] != "20000 of 20000" {
		t.Errorf("progress: %v", told)
	}
	sound(t, db)
}

func TestADryRunChangesNothing(t *testing.T) {
	db, _ := shop(t, "2014-11-15")
	add(t, db, "saburo@example.jp")
	before := everything(t, db)
	n, err := db.Import(strings.NewReader(handmade), ImportOptions{By: "root", DryRun: true})
	if err != nil || n != (Imported{Added: 3, Unchanged: 1}) {
		t.Errorf("%+v, %v", n, err)
	}
	if _, err := db.Import(strings.NewReader(handmade+"x\n"), ImportOptions{By: "root", DryRun: true}); err == nil {
		t.Error("no error of a wrong row")
	}
	if after := everything(t, db); after != before {
		t.Errorf("it holds\n%s", after)
	}
	if n, err := importText(db, handmade); err != nil || n.Added != 3 {
		t.Errorf("afterwards: %+v, %v", n, err)
	}
}

// TestRowsThatSaySomethingElse of what is there are counted, and change nothing.
func TestRowsThatSaySomethingElse(t *testing.T) {
	db, _ := shop(t, "2014-11-15")
	if _, err := importText(db, handmade); err != nil {
		t.Fatal(err)
	}
	before := everything(t, db)
	for _, tt := range []struct {
		text string
		want Imported
	}{
		{"address\ntaro@example.jp\n", Imported{Unchanged: 1}},
		{"address,owner\ntaro@example.jp,8\n", Imported{Unchanged: 1, Different: 1}},
		{"address,language\ntaro@example.jp,ja\n", Imported{Unchanged: 1, Different: 1}},
		{"address,language\ntaro@example.jp,en\n", Imported{Unchanged: 1}},
		{"address,inbound\ntaro@example.jp,paused\n", Imported{Unchanged: 1, Different: 1}},
		{"address,outbound\ntaro@example.jp,subscribed\n", Imported{Unchanged: 1, Different: 1}},
		{"address\njiro@example.jp\n", Imported{Unchanged: 1, Different: 1}}, // which is closed
	} {
		if n, err := importText(db, tt.text); err != nil || n != tt.want {
			t.Errorf("%q: %+v, %v, want %+v", tt.text, n, err, tt.want)
		}
	}
	if after := everything(t, db); after != before {
		t.Errorf("it holds\n%s", after)
	}
}

// TestExportAsCSV: a round trip is exact, into an empty database and into its own, and
// the rows of one after the other bring what was entered since.
func TestExportAsCSV(t *testing.T) {
	from, c := shop(t, "2014-10-01")
	lively(t, from, c)
	if _, err := from.Add(NewAccount{Address: "m@example.jp", Owner: ` =1+1;"x", 'y' `, Main: true, NoCourse: true, By: "<root> & co"}); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Force("m@example.jp", Outbound, local(t, "2014-12-24 12:00:00", tokyo), "x"); err != nil {
		t.Fatal(err)
	}
	export := func(db *DB) string {
		t.Helper()
		var b bytes.Buffer
		if err := db.ExportCSV(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	text := export(from)
	to, c2 := shop(t, "2014-10-01")
	c2.now = c.now
	for _, want := range []Imported{{Added: 603}, {Unchanged: 603}} {
		if n, err := importText(to, text); n != want || err != nil {
			t.Fatalf("%+v, %v, want %+v", n, err, want)
		}
		if a, b := everything(t, from), everything(t, to); a != b {
			t.Fatalf("imported\n%.2000s\nof\n%.2000s", b, a)
		}
	}
	// What was to come has come meanwhile: the rows are still what their events made them.
	c.now, c2.now = local(t, "2015-02-01", tokyo), local(t, "2015-02-01", tokyo)
	if n, err := importText(to, text); n != (Imported{Unchanged: 603}) || err != nil {
		t.Errorf("later: %+v, %v", n, err)
	}
	change(t, from, name(5), Subscribed, Outbound, "")
	if n, err := importText(to, export(from)); n != (Imported{Continued: 1, Unchanged: 602}) || err != nil {
		t.Errorf("continued: %+v, %v", n, err)
	}
	if n, err := importText(from, export(to)); n != (Imported{Unchanged: 603}) || err != nil {
		t.Errorf("back: %+v, %v", n, err)
	}
	sound(t, to)
}

// TestARowMayNotContradictItsHistory: who edits an export means something by it.
func TestARowMayNotContradictItsHistory(t *testing.T) {
	from, _ := shop(t, "2014-10-01")
	if _, err := importText(from, handmade); err != nil {
		t.Fatal(err)
	}
	var b, j bytes.Buffer
	if err := errors.Join(from.ExportCSV(&b), from.Export(&j)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, text, old, new, says string }{
		{"owner", b.String(), `"山田, ""太郎""",,,en`, `8,,,en`, "its owner is \"8\""},
		{"owner taken away", b.String(), `"山田, ""太郎""",,,en`, `,,,en`, "its owner is \"\""},
		{"a service", b.String(), "paused", "subscribed", "its services are not what its events make them"},
		{"when it closed", b.String(), "2014-06-29T15:00:00Z", "2014-07-29T15:00:00Z", "its services are not"},
		{"JSON: owner", j.String(), `"owner":"山田, \"太郎\""`, `"owner":"8"`, "its owner is \"8\""},
		{"JSON: language", j.String(), `"language":"en"`, `"language":"ja"`, "its language is \"ja\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, _ := shop(t, "2014-10-01")
			changed := strings.Replace(tt.text, tt.old, tt.new, 1)
			if changed == tt.text {
				t.Fatalf("no %q in\n%s", tt.old, tt.text)
			}
			if _, err := importText(db, changed); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %q", err, tt.says)
			}
		})
	}
}

func TestSettingsAreNotEnteredForLater(t *testing.T) {
	db, _ := shop(t, "2014-10-01")
	const events = `{"account":{"address":"a@b"},"events":[{"seq":1,"address":"a@b","kind":"added","by":"x","at":"2014-01-01T00:00:00Z","effective":"2014-01-01T00:00:00Z","settings":{"language":"ja","maildir":"/m"}},` +
		`{"seq":2,"address":"a@b","kind":"changed","by":"x","at":"2014-01-01T00:00:00Z","effective":"2034-01-01T00:00:00Z","settings":{"language":"en"}}]}`
	if _, err := importText(db, events); err == nil || !strings.Contains(err.Error(), "settings cannot be entered for later") {
		t.Errorf("%v", err)
	}
}

func TestTwoImportsAtOnce(t *testing.T) {
	db, _ := shop(t, "2014-10-01")
	release, err := db.acquire()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := importText(db, handmade); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "another change takes long") {
		t.Errorf("%v", err)
	}
	release()
	if n, err := importText(db, handmade); err != nil || n.Added != 4 {
		t.Errorf("%+v, %v", n, err)
	}
}

// TestImportOfABrokenStream: what does not come to an end is not imported.
func TestImportOfABrokenStream(t *testing.T) {
	db, _ := shop(t, "2014-10-01")
	broken := io.MultiReader(strings.NewReader(handmade), errorReader{})
	if _, err := db.Import(broken, ImportOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	if db.count() != 0 {
		t.Error("something was imported")
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// FuzzRows: whatever comes is refused, or stands for events that make sound accounts, and
// what was written down of them is read back. The database is not touched yet.
func FuzzRows(f *testing.F) {
	f.Add(handmade)
	f.Add(`{"account":{"address":"a@b","inbound":{"subscribed":true}}}`)
	db, _ := shop(f, "2014-11-15")
	if _, err := importText(db, handmade); err != nil {
		f.Fatal(err)
	}
	var b, j bytes.Buffer
	if err := errors.Join(db.ExportCSV(&b), db.Export(&j)); err != nil {
		f.Fatal(err)
	}
	f.Add(b.String())
	f.Add(j.String())
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := readRows(strings.NewReader(text), tokyo)
		if err != nil {
			return
		}
		l := &loading{db: db, now: db.now(), checked: new(memory)}
		if err := l.check(rows); err != nil {
			return
		}
		for _, n := range l.index {
			_, events, err := l.load(n)
			if err != nil {
				t.Fatal(err)
			}
			r, err := fold(events)
			if err == nil {
				err = r.account.validate("")
			}
			if err != nil || r.account.Address != n.address {
				t.Errorf("%s: %+v, %v", n.address, r.account, err)
			}
		}
	})
}

// memory is a file that is not on the disk.
type memory struct{ bytes.Buffer }

func (m *memory) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(m.Bytes()).ReadAt(p, at)
}
