//go:build bench

package accounts

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMillionAccounts measures what imports and bills of a million accounts take, and
// prints a table. CPU times say more than the clock where cores and disks are shared.
func TestMillionAccounts(t *testing.T) {
	const accounts, wrong = 1_000_000, 777_777
	debug.SetGCPercent(400) // as the command has it
	now := &clock{time.Date(2015, 3, 1, 0, 0, 0, 0, time.UTC)}
	o := options(now)
	o.Timeout = time.Minute
	o.Tariff = theService(zoneOf(t, "Asia/Tokyo"))
	db, err := Create(filepath.Join(t.TempDir(), "accounts.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { db.Close() }()

	measure(t, "import, row 777,777 wrong", func() {
		_, err := db.Import(table(accounts, wrong), ImportOptions{By: "root"})
		if err == nil || !strings.Contains(err.Error(), "row 777777 (line 777778)") {
			t.Errorf("not told: %v", err)
		}
	})
	measure(t, "import, dry run", func() {
		if n, err := db.Import(table(accounts, 0), ImportOptions{By: "root", DryRun: true}); err != nil || n.Added != accounts {
			t.Errorf("%+v, %v", n, err)
		}
	})
	measure(t, "import", func() {
		if n, err := db.Import(table(accounts, 0), ImportOptions{By: "root"}); err != nil || n.Added != accounts {
			t.Errorf("%+v, %v", n, err)
		}
	})
	measure(t, "import again", func() {
		if n, err := db.Import(table(accounts, 0), ImportOptions{By: "root"}); err != nil || n.Unchanged != accounts {
			t.Errorf("%+v, %v", n, err)
		}
	})
	db.Close()
	measure(t, "open", func() {
		if db, err = Open(db.path, o); err != nil {
			t.Fatal(err)
		}
	})
	m := Month{2014, 11}
	bill := func(what string) {
		measure(t, what, func() {
			b, err := db.Bill(m, BillOptions{}, func(Charge) bool { return true })
			if err != nil || b.Lines < accounts {
				t.Errorf("%+v, %v", b, err)
			}
		})
	}
	bill("bill")
	measure(t, "bill of one owner", func() {
		b, err := db.Bill(m, BillOptions{Owner: "0000042"}, func(Charge) bool { return true })
		if err != nil || b.Lines == 0 {
			t.Errorf("%+v, %v", b, err)
		}
	})
	measure(t, "close the month", func() {
		if _, err := db.CloseMonth(m, "root", nil); err != nil {
			t.Error(err)
		}
	})
	bill("bill, closed")
	measure(t, "changes since it was closed", func() {
		if _, err := db.SinceIssued(m, BillOptions{}, func(d Difference) bool { t.Errorf("%+v", d); return false }); err != nil {
			t.Error(err)
		}
	})
	measure(t, "accounts of one owner", func() {
		n := 0
		if err := db.ListOwner("0000042", func(Account) bool { n++; return true }); err != nil || n == 0 {
			t.Errorf("%d, %v", n, err)
		}
	})
	measure(t, "export as CSV", func() {
		if err := db.ExportCSV(io.Discard); err != nil {
			t.Error(err)
		}
	})
	if info, err := os.Stat(db.path); err == nil {
		t.Logf("%-28s %8d MiB", "the database", info.Size()>>20)
	}
}

// table writes so many accounts as CSV, in no order, with one row wrong.
func table(accounts, wrong int) io.Reader {
	var b bytes.Buffer
	b.WriteString("owner,address,inbound,inbound_since,outbound,outbound_since,added\n")
	for i, n := range rand.New(rand.NewPCG(1, 2)).Perm(accounts) {
		inbound := []string{"subscribed", "paused", "no"}[n%3]
		if i+1 == wrong {
			inbound = "perhaps"
		}
		fmt.Fprintf(&b, "%07d,member%07d@example.jp,%s,2014-%02d-03,%s,2014-08-31 23:59:59,2014-01-01\n",
			n/3, n, inbound, 1+n%12, []string{"no", "subscribed"}[n%2])
	}
	return &b
}

// measure prints the time, the CPU time and the peak of memory of one thing. Pages of
// the mapped database are the system's to take back, and not counted.
func measure(t *testing.T, what string, f func()) {
	t.Helper()
	debug.FreeOSMemory()
	peak, done, told := 0, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		for {
			peak = max(peak, memoryUsed())
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	before, start := cpuTime(), time.Now()
	f()
	took, cpu := time.Since(start), cpuTime()-before
	close(done)
	<-told
	t.Logf("%-28s %8.1f s %8.1f s CPU %8d MiB", what, took.Seconds(), cpu.Seconds(), peak)
}

func cpuTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var anonymous = regexp.MustCompile(`RssAnon:\s*(\d+) kB`)

// memoryUsed is that of this process alone, in MiB.
func memoryUsed() int {
	status, _ := os.ReadFile("/proc/self/status")
	m := anonymous.FindSubmatch(status)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n >> 10
}
