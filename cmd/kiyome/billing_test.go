package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"kiyome/accounts"
)

const tariffText = `
[[billing.price]]
from = 2015-03-01
inbound = 200
[[billing.campaign]]
service = "inbound"
from = 2014-10-01
to = 2015-01-31
`

// bills is what a year of two owners costs.
var bills = []step{
	{"account add taro@example.jp --owner 1 --main --at 2014-01-01", 0, "added"},
	{"account add hanako@example.jp --owner 1 --at 2014-01-01", 0, "added"},
	{"account add jiro@example.jp --owner 2 --at 2014-01-01", 0, "added"},
	{"account subscribe taro@example.jp --at 2014-03-31T23:59:59+09:00", 0, "subscribed inbound as of 2014-03-31 23:59:59 JST"},
	{"account subscribe hanako@example.jp --at 2014-11-30T23:59:59+09:00", 0, "subscribed"},
	{"account subscribe jiro@example.jp outbound --at 2014-11-03", 0, "subscribed"},
	{"account cancel jiro@example.jp outbound --at 2014-11-04", 0, "cancelled"},
	{"account subscribe taro@example.jp postal", 2, `"postal" is neither inbound nor outbound`},
	{"billing 2014-02", 0, "all    0      0 JPY"},
	{"billing 2014-03", 0, "1      taro@example.jp  inbound  150  first month"},
	{"billing 2014-04", 0, "1      taro@example.jp  inbound  150  regular"},
	{"billing 2014-11", 0, "1      hanako@example.jp  inbound   0    campaign\n" +
		"2      jiro@example.jp    outbound  150  first month\n" +
		"1      taro@example.jp    inbound   150  regular\n" +
		"\nOWNER  LINES  TOTAL\n1      2      150\n2      1      150\nall    3      300 JPY\n"},
	{"billing 2014-11 --owner 2", 0, "all    1      150 JPY"},
	{"billing 2014-11 --csv", 0, "month,owner,address,service,fee,currency,reason\n2014-11,1,hanako@example.jp,inbound,0,JPY,campaign\n"},
	{"billing 2014-11 --json --owner 2", 0, `{"month":"2014-11","owner":"2","address":"jiro@example.jp","service":"outbound","fee":150,"currency":"JPY","reason":"first month"}` + "\n"},
	{"billing 2015-02", 0, "taro@example.jp    inbound  150  regular"},
	{"billing 2015-03", 0, "taro@example.jp    inbound  200  regular"},
	{"billing 2014-11 --csv --json", 2, "none of the others can be"},
	{"billing 2014-13", 2, "not a month: one is written like 2014-11"},
	{"billing 11/2014", 2, "not a month"},
	{"billing 2999-01", 1, "the month begins on 2999-01-01T00:00:00+09:00, and the clock stands at"},
	{"billing 2999-01 --since-issued", 1, "the month begins on"},
	{"billing close 2999-01", 1, "the month begins on"},
	{"billing", 2, "usage: kiyome billing MONTH"},
	{"billing close", 2, "usage: kiyome billing close MONTH"},
	{"billing close 2014-11", 0, "2014-11: closed, 3 lines, 300 JPY"},
	{"billing close 2014-11", 1, "bill is closed already: on "},
	{"account cancel taro@example.jp --at 2014-11-20", 0, "cancelled"},
	{"billing 2014-11", 0, "taro@example.jp    inbound   150  regular\n\nOWNER"},
	{"billing 2014-11", 0, "\nclosed on "},
	{"billing 2014-11 --since-issued", 0, "removed  1      taro@example.jp  inbound  150  regular\n\nOWNER  LINES  TOTAL\n1      1      -150\nall    1      -150 JPY\n\nclosed on "},
	{"billing 2014-11 --since-issued --csv", 0, "change,month,owner,address,service,fee,currency,reason\nremoved,2014-11,1,taro@example.jp,inbound,150,JPY,regular\n"},
	{"billing 2014-11 --since-issued --owner 2 --json", 0, ""},
	{"account services jiro@example.jp", 0, "150 JPY for "},
	{"account services hanako@example.jp", 0, "200 JPY (regular)"},
	{"account services nobody@example.jp", 1, "no such account"},
}

func TestBillingOnTheFile(t *testing.T) { newSite(t, tariffText).script(bills) }

func TestBillingThroughTheServer(t *testing.T) {
	s := newSite(t, tariffText)
	s.do("account", "add", "first@example.jp")
	s.serve()
	s.script(bills)
}

// owners is what is done with all mailboxes of a member.
var owners = []step{
	{"account add taro@example.jp --owner 1 --main", 0, "added"},
	{"account add hanako@example.jp --owner 1 --no-course", 0, "added"},
	{"account add jiro@example.jp --owner 2", 0, "added"},
	{"account add saburo@example.jp --main", 2, "without an owner"},
	{"account add saburo@example.jp --at 2999-01-01", 1, "it would be added on"},
	{"account subscribe hanako@example.jp", 1, "its owner has no connection course; --force subscribes all the same"},
	{"account subscribe hanako@example.jp --force", 0, "subscribed inbound"},
	{"account show hanako@example.jp", 0, "course    none"},
	{"account set hanako@example.jp --no-course=false", 0, "inbound   subscribed"},
	{"account list --owner 1", 0, "hanako@example.jp  subscribed  no        ja        1\ntaro@example.jp"},
	{"account show --owner 1", 0, "main      yes"},
	{"account show --owner 3", 1, `owner "3": no such account`},
	{"account show", 2, "usage: kiyome account show ADDRESS|--owner ID"},
	{"account show taro@example.jp --owner 1", 2, "usage: "},
	{"account set taro@example.jp --owner 2", 2, "it is the main mailbox of"},
	{"account remove", 2, "usage: kiyome account remove ADDRESS|--owner ID"},
	{"account remove --owner 1", 2, "say --yes"},
	{"account remove --owner 3 --yes", 1, "no such account"},
	{"account remove --owner 1 --yes --at 2098-12-31", 0, "hanako@example.jp: closes on 2098-12-31\ntaro@example.jp: closes on 2098-12-31\n"},
	{"account remove --owner 1 --yes", 0, "hanako@example.jp: closed\ntaro@example.jp: closed\n"},
	{"account remove --owner 1 --yes", 1, "all accounts are closed already"},
	{"account list --owner 1 --closed", 0, "taro@example.jp (closed)"},
	{"account show jiro@example.jp", 0, "inbound   no"},
	{"account check", 0, "no problem"},
}

func TestOwners(t *testing.T) {
	t.Run("on the file", func(t *testing.T) { newSite(t, "").script(owners) })
	t.Run("through the server", func(t *testing.T) {
		s := newSite(t, "")
		s.do("account", "add", "first@example.jp")
		s.serve()
		s.script(owners)
	})
}

// TestClosedBillsBelongToTheStateFolder: the server can read what root has closed.
func TestClosedBillsBelongToTheStateFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	if err := os.Chown(s.path("state"), 1234, 2345); err != nil {
		t.Fatal(err)
	}
	s.do("billing", "close", "2014-11")
	for _, name := range []string{"state/bills", "state/bills/2014-11.csv"} {
		var st syscall.Stat_t
		if err := syscall.Lstat(s.path(name), &st); err != nil || st.Uid != 1234 || st.Gid != 2345 || st.Mode&0o77 != 0 {
			t.Errorf("%s belongs to %d:%d, mode %o, %v", name, st.Uid, st.Gid, st.Mode, err)
		}
	}
}

// TestFeesAreReloaded: without a restart, and none is asked for.
func TestFeesAreReloaded(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	s.do("account", "subscribe", "taro@example.jp")
	s.serve()
	if out := s.do("account", "services", "taro@example.jp"); !strings.Contains(out, "150 JPY (first month)") {
		t.Errorf("before:\n%s", out)
	}
	s.configure("[billing]\ninbound = 99\ncurrency = \"EUR\"")
	if out := s.do("rules", "reload"); strings.Contains(out, "billing") {
		t.Errorf("reload:\n%s", out)
	}
	if out := s.do("account", "services", "taro@example.jp"); !strings.Contains(out, "99 EUR (first month)") {
		t.Errorf("after:\n%s", out)
	}
}

func TestImportOfATable(t *testing.T) {
	const table = "owner,address,inbound,inbound_since,added\n1,taro@example.jp,subscribed,2014-10-31 23:59:59,2014-01-01\n2,hanako@example.jp,paused,2014-02-03,2014-01-01\n"
	for _, where := range []string{"on the file", "through the server"} {
		t.Run(where, func(t *testing.T) {
			s := newSite(t, tariffText)
			s.write("good.csv", table)
			s.write("bad.csv", table+"3,jiro,,,\n4,taro@example.jp,perhaps,,\n")
			s.write("odd.csv", "address,colour\ntaro@example.jp,red\n")
			s.write("other.csv", strings.Replace(table, "1,taro", "8,taro", 1))
			s.script([]step{{"account import --dry-run " + s.path("good.csv"), 0, "dry run, nothing was changed: it would be 2 accounts added"}})
			if _, err := os.Stat(s.path("state")); err == nil {
				t.Error("a dry run made the state folder")
			}
			if where == "through the server" {
				s.do("account", "add", "first@example.jp")
				s.serve()
			}
			s.script([]step{
				{"account import " + s.path("bad.csv"), 2, "bad.csv: import accounts: nothing was imported: 2 rows are wrong\n  row 3 (line 4): \"jiro\": malformed address: no @\n  row 4 (line 5): inbound: \"perhaps\""},
				{"account import " + s.path("odd.csv"), 2, `there is no column "colour"; the columns are address, owner,`},
				{"account show taro@example.jp", 1, ""},
				{"account import " + s.path("good.csv"), 0, "2 accounts added\n"},
				{"account import --dry-run " + s.path("good.csv"), 0, "it would be 0 accounts added, 2 were there already\n"},
				{"account import " + s.path("other.csv"), 0, "0 accounts added, 2 were there already (of 1 the file says something else: they stay as they are)"},
				{"billing 2014-10", 0, "1      taro@example.jp    inbound  0    campaign"},
			})
			exported := s.do("account", "export", "--csv")
			s.write("exported.csv", exported)
			other := newSite(t, "")
			other.script([]step{{"account import " + s.path("exported.csv"), 0, "accounts added"}})
			// The numbers of events are those of the database that they are in.
			if again := other.do("account", "export", "--csv"); unnumbered(again) != unnumbered(exported) {
				t.Errorf("exported again:\n%s\nwant\n%s", again, exported)
			}
		})
	}
}

func TestServicesAsJSON(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	s.do("account", "subscribe", "taro@example.jp")
	var all []accounts.Standing
	if err := json.Unmarshal([]byte(s.do("account", "services", "taro@example.jp", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Charge == nil || all[0].Charge.Fee != 150 || all[0].Offer != nil || all[1].Charge != nil || all[1].Offer.Fee != 150 {
		t.Errorf("%+v", all)
	}
}

// TestAClockThatWasPutBackIsNoted: what is entered then counts from where the ledger is.
func TestAClockThatWasPutBackIsNoted(t *testing.T) {
	s := newSite(t, "")
	ahead := time.Now().Add(5 * time.Hour).UTC().Truncate(time.Second)
	s.write("accounts.jsonl", fmt.Sprintf(`{"account":{"address":"taro@example.jp"},"events":[{"seq":1,"address":"taro@example.jp","kind":"added","by":"x","at":%[1]q,"effective":%[1]q,"settings":{"language":"ja","maildir":"/m/taro"}}]}`,
		ahead.Format(time.RFC3339)))
	s.do("account", "import", s.path("accounts.jsonl"))
	var notes strings.Builder
	root := newRoot(&app{out: io.Discard})
	root.SetErr(&notes)
	root.SetArgs([]string{"--config", s.file, "account", "subscribe", "taro@example.jp"})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	want := "the clock was put back since something was entered for taro@example.jp: this counts from " + ahead.In(tokyo).Format("2006-01-02 15:04:05")
	if !strings.Contains(notes.String(), want) {
		t.Errorf("noted %q, want %q", notes.String(), want)
	}
}
