package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kiyome/accounts"
	"kiyome/rules"
)

// operator is a server without the rest.
type operator struct {
	reload func() (Reloaded, error)
	wait   chan struct{} // Status answers when it is closed; nil: at once
}

func (o operator) Status(ctx context.Context) (Status, error) {
	if o.wait != nil {
		<-o.wait
	}
	return Status{Version: "1", Listen: []string{"unix:x"}, Accounts: Counts{Accounts: 3}}, nil
}
func (o operator) Reload(context.Context) (Reloaded, error) { return o.reload() }
func (o operator) Rollback(context.Context) (Reloaded, error) {
	return Reloaded{Rules: rules.Compiled{Version: "before"}}, nil
}
func (o operator) Silence(_ context.Context, name string, off bool) (Reloaded, error) {
	return Reloaded{Rules: rules.Compiled{Version: fmt.Sprint(name, " ", off)}}, nil
}

// openDB makes an account database with some accounts.
func openDB(t *testing.T, addresses ...string) *accounts.DB {
	t.Helper()
	db, err := accounts.Create(filepath.Join(t.TempDir(), "accounts.db"), accounts.Options{Delimiter: "+", Path: "/var/vmail/{domain}/{local}/Maildir"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, a := range addresses {
		if _, err := db.Add(accounts.NewAccount{Address: a, By: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// start serves on a socket of its own and gives a client.
func start(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Socket == "" {
		o.Socket = filepath.Join(t.TempDir(), "control.sock")
	}
	if o.Accounts == nil {
		o.Accounts = openDB(t)
	}
	if o.Operator == nil {
		o.Operator = operator{}
	}
	o.Spool = t.TempDir()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		s.Close(context.Background())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	c, err := Dial(t.Context(), o.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestClientDoesWhatTheDatabaseDoes(t *testing.T) {
	db := openDB(t, "a@example.jp", "b@example.jp")
	c := start(t, Options{Accounts: db})
	added, err := c.Add(accounts.NewAccount{Address: "C@Example.JP", Owner: "7", By: "a liar"})
	if err != nil || added.Address != "c@example.jp" {
		t.Fatalf("Add = %+v, %v", added, err)
	}
	if _, err := c.Change("c@example.jp", accounts.Subscribed, accounts.Inbound, time.Time{}, "a liar"); err != nil {
		t.Fatal(err)
	}
	language := "en"
	if _, err := c.Set("c@example.jp", accounts.Settings{Language: &language}, "a liar"); err != nil {
		t.Fatal(err)
	}
	got, err := c.Get("c@example.jp")
	if err != nil || !got.Inbound.Active() || got.Language != "en" || got.Owner != "7" {
		t.Errorf("Get = %+v, %v", got, err)
	}
	direct, err := db.History("c@example.jp")
	if err != nil {
		t.Fatal(err)
	}
	history, err := c.History("c@example.jp")
	if err != nil || len(history) != len(direct) {
		t.Errorf("History has %d events, %v; the database %d", len(history), err, len(direct))
	}
	for _, e := range history {
		if e.By != UserName() {
			t.Errorf("%s by %q, want the user that the kernel names, %q", e.Kind, e.By, UserName())
		}
	}
	var list []string
	if err := c.List(func(a accounts.Account) bool { list = append(list, a.Address); return len(list) < 2 }); err != nil || !slices.Equal(list, []string{"a@example.jp", "b@example.jp"}) {
		t.Errorf("List, ended after two = %v, %v", list, err)
	}
	if problems, n, err := c.Check(); err != nil || n != 3 || problems != nil {
		t.Errorf("Check = %v, %d, %v", problems, n, err)
	}
}

func TestChangesAreLogged(t *testing.T) {
	var log bytes.Buffer // written before the answers
	c := start(t, Options{Accounts: openDB(t, "a@example.jp"), Log: slog.New(slog.NewTextHandler(&log, nil))})
	at := time.Date(2031, 4, 1, 0, 0, 0, 0, time.UTC)
	if _, err := c.Change("a@example.jp", accounts.Subscribed, accounts.Inbound, at, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Change("b@example.jp", accounts.Subscribed, accounts.Inbound, at, ""); err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"level=INFO msg=account what=subscribed address=a@example.jp by=" + UserName() + " service=inbound effective=2031-04-01T00:00:00.000Z\n",
		"level=WARN msg=\"account not changed\" what=subscribed address=b@example.jp",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("want %s in\n%s", want, log.String())
		}
	}
}

func TestExportImportAndBackupComeWhole(t *testing.T) {
	db := openDB(t, "a@example.jp", "b@example.jp")
	c := start(t, Options{Accounts: db})
	var direct, exported, backup bytes.Buffer
	if err := errors.Join(db.Export(&direct), c.Export(&exported)); err != nil {
		t.Fatal(err)
	}
	if direct.Len() == 0 || direct.String() != exported.String() {
		t.Errorf("export:\n%s\nwant\n%s", exported.String(), direct.String())
	}
	other := start(t, Options{})
	if n, err := other.Import(&exported, accounts.ImportOptions{}); err != nil || n.Added != 2 {
		t.Errorf("Import = %+v, %v", n, err)
	}
	n, err := c.Backup(&backup)
	if err != nil || n != int64(backup.Len()) {
		t.Fatalf("Backup = %d of %d, %v", n, backup.Len(), err)
	}
	file := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(file, backup.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	copied, err := accounts.Open(file, accounts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if _, err := copied.Get("b@example.jp"); err != nil {
		t.Errorf("the copy: %v", err)
	}
}

func TestErrorsKeepTheirKindOnTheWay(t *testing.T) {
	refusal := fmt.Errorf("%w: rules.yar:3: syntax error", ErrRefused)
	c := start(t, Options{Accounts: openDB(t, "a@example.jp"), Operator: operator{reload: func() (Reloaded, error) { return Reloaded{}, refusal }}})
	get := func(address string) error { _, err := c.Get(address); return err }
	for _, tt := range []struct {
		name string
		got  error
		want error
	}{
		{"unknown", get("nobody@example.jp"), accounts.ErrUnknown},
		{"malformed", get("no address"), accounts.ErrMalformed},
		{"a slash in it", get("a/../b@example.jp"), accounts.ErrMalformed},
		{"exists", func() error { _, err := c.Add(accounts.NewAccount{Address: "a@example.jp"}); return err }(), accounts.ErrExists},
		{"transition", func() error {
			_, err := c.Change("a@example.jp", accounts.Resumed, accounts.Inbound, time.Time{}, "")
			return err
		}(), accounts.ErrTransition},
		{"rules", func() error { _, err := c.Reload(t.Context()); return err }(), ErrRefused},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	if _, err := c.Reload(t.Context()); err == nil || err.Error() != refusal.Error() {
		t.Errorf("the words are %q, want %q", err, refusal)
	}
	for _, k := range kinds {
		f, _ := toFault(fmt.Errorf("around: %w", k.err))
		if !errors.Is(f, k.err) {
			t.Errorf("%s does not keep its kind", k.name)
		}
	}
}

func TestOrdersReachTheOperator(t *testing.T) {
	c := start(t, Options{Operator: operator{reload: func() (Reloaded, error) {
		return Reloaded{Rules: rules.Compiled{Version: "new"}, Problems: []rules.Problem{{File: "x.yar", Line: 3}}, Restart: []string{"hostname"}}, nil
	}}})
	if s, err := c.Status(t.Context()); err != nil || s.Accounts.Accounts != 3 {
		t.Errorf("Status = %+v, %v", s, err)
	}
	want := Reloaded{Rules: rules.Compiled{Version: "new"}, Problems: []rules.Problem{{File: "x.yar", Line: 3}}, Restart: []string{"hostname"}}
	if r, err := c.Reload(t.Context()); err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("Reload = %+v, %v", r, err)
	}
	if r, err := c.Rollback(t.Context()); err != nil || r.Rules.Version != "before" {
		t.Errorf("Rollback = %+v, %v", r, err)
	}
	if r, err := c.Silence(t.Context(), "kiyome/X", true); err != nil || r.Rules.Version != "kiyome/X true" {
		t.Errorf("Silence = %+v, %v", r, err)
	}
}

func TestNoServer(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "control.sock")
	if _, err := Dial(t.Context(), missing); !errors.Is(err, ErrNoServer) {
		t.Errorf("no socket: %v", err)
	}
	stale := staleSocket(t)
	if _, err := Dial(t.Context(), stale); !errors.Is(err, ErrNoServer) {
		t.Errorf("a dead server's socket: %v", err)
	}
}

// staleSocket makes the file that a killed server leaves.
func staleSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	return path
}

func TestListenReplacesADeadServersSocket(t *testing.T) {
	c := start(t, Options{Socket: staleSocket(t)})
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSocketIsForItsOwnerOnly(t *testing.T) {
	c := start(t, Options{})
	info, err := os.Stat(c.socket)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %o, want 600", got)
	}
}

func TestAServerThatAcceptsAndSaysNothingIsFrozen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // in place of the five seconds
	defer cancel()
	if _, err := Dial(ctx, path); !errors.Is(err, ErrFrozen) || errors.Is(err, ErrNoServer) {
		t.Errorf("Dial = %v, want that it does not answer", err)
	}
}

func TestAServerThatDiesEndsTheCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ping" {
			io.WriteString(w, "1")
			return
		}
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half of ")
		panic(http.ErrAbortHandler)
	}))
	defer l.Close()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Backup(io.Discard); err == nil {
		t.Errorf("half a backup of %d bytes was taken for a whole one", n)
	}
	if err := c.Export(io.Discard); err == nil {
		t.Error("half an export was taken for a whole one")
	}
	if _, err := c.Bill(accounts.Month{Year: 2014, Month: 11}, accounts.BillOptions{}, func(accounts.Charge) bool { return true }); err == nil {
		t.Error("half a bill was taken for a whole one")
	}
}

func TestAnswersThatAreReadSlowlyHoldNothing(t *testing.T) {
	exported := make(chan struct{})
	c := start(t, Options{Accounts: watched{openDB(t), exported}})
	read := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- c.Export(stalled{read}) }()
	<-exported // the transaction is over although nothing was read
	close(read)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestALongAnswerEnds when nobody reads it any more, and one without an end is not whole.
func TestALongAnswerEnds(t *testing.T) {
	db := endless{openDB(t), make(chan struct{})}
	c := start(t, Options{Accounts: db})
	november := accounts.Month{Year: 2014, Month: 11}
	n := 0
	if _, err := c.Bill(november, accounts.BillOptions{}, func(accounts.Charge) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("%d lines, %v", n, err)
	}
	<-db.ended
	done := 0
	if _, err := c.SinceIssued(november, accounts.BillOptions{Progress: func(d, _ int) { done = d }}, func(accounts.Difference) bool { return true }); !errors.Is(err, accounts.ErrDamaged) || done != 7 {
		t.Errorf("progress %d, %v", done, err)
	}
}

// endless has a bill without an end, and changes that fail after a while.
type endless struct {
	*accounts.DB
	ended chan struct{}
}

func (e endless) Bill(m accounts.Month, _ accounts.BillOptions, f func(accounts.Charge) bool) (accounts.Bill, error) {
	for f(accounts.Charge{Month: m}) {
	}
	close(e.ended)
	return accounts.Bill{}, nil
}

func (e endless) SinceIssued(m accounts.Month, o accounts.BillOptions, f func(accounts.Difference) bool) (accounts.Bill, error) {
	o.Progress(7, 7)
	f(accounts.Difference{Charge: accounts.Charge{Month: m}})
	return accounts.Bill{}, accounts.ErrDamaged
}

// watched has much to export, and tells when that is over.
type watched struct {
	*accounts.DB
	exported chan struct{}
}

func (w watched) Export(out io.Writer) error {
	defer close(w.exported)
	_, err := out.Write(make([]byte, 8<<20)) // more than fits into the socket's buffers
	return err
}

// stalled reads nothing until its channel is closed.
type stalled struct{ until chan struct{} }

func (s stalled) Write(b []byte) (int, error) { <-s.until; return len(b), nil }

func TestManyAtOnceEndInOneState(t *testing.T) {
	db := openDB(t, "shared@example.jp")
	c := start(t, Options{Accounts: db})
	var all sync.WaitGroup
	for admin := range 8 {
		all.Go(func() {
			own := fmt.Sprintf("own%d@example.jp", admin)
			if _, err := c.Add(accounts.NewAccount{Address: own}); err != nil {
				t.Errorf("add %s: %v", own, err)
			}
			for _, k := range []accounts.Kind{accounts.Subscribed, accounts.Paused, accounts.Resumed, accounts.Cancelled} {
				if _, err := c.Change(own, k, accounts.Inbound, time.Time{}, ""); err != nil {
					t.Errorf("%s %s: %v", own, k, err)
				}
				_, err := c.Change("shared@example.jp", k, accounts.Inbound, time.Time{}, "")
				if err != nil && !errors.Is(err, accounts.ErrTransition) {
					t.Errorf("shared %s: %v", k, err)
				}
			}
		})
	}
	all.Wait()
	if problems, n, err := db.Check(); err != nil || n != 9 || len(problems) > 0 {
		t.Errorf("Check = %v, %d, %v", problems, n, err)
	}
}

func TestOthersAreTurnedAwayWhateverTheMode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	c := start(t, Options{})
	for dir := filepath.Dir(c.socket); dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if status, err := askAs(65534, c.socket); !errors.Is(err, os.ErrPermission) {
		t.Errorf("mode 600: %s, %v", status, err)
	}
	if err := os.Chmod(c.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if status, err := askAs(65534, c.socket); err != nil || !strings.Contains(status, "403") {
		t.Errorf("mode 666: %q, %v; want 403 by the kernel's word on who asks", status, err)
	}
	if status, err := askAs(0, c.socket); err != nil || !strings.Contains(status, "200") {
		t.Errorf("root: %q, %v", status, err)
	}
}

// askAs asks the server as another user, and gives the first bytes of the answer.
func askAs(uid int, socket string) (status string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread ends with this goroutine: nothing else runs as that user.
		runtime.LockOSThread()
		if _, _, no := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); no != 0 {
			err = no
			return
		}
		var c net.Conn
		if c, err = net.Dial("unix", socket); err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "GET /ping HTTP/1.1\r\nHost: kiyome\r\n\r\n")
		b := make([]byte, 20)
		_, err = io.ReadFull(c, b)
		status = string(b)
	}()
	<-done
	return status, err
}

func TestMembersOfTheGroupAreLetIn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		peer  unix.Ucred
		group string
		want  bool
	}{
		{"root", unix.Ucred{Uid: 0, Gid: 0}, "", true},
		{"ourselves", unix.Ucred{Uid: uint32(os.Geteuid()), Gid: 12345}, "", true},
		{"somebody", unix.Ucred{Uid: 65534, Gid: 65534}, "", false},
		{"somebody with another group", unix.Ucred{Uid: 65534, Gid: 12345}, "daemon", false},
		{"a member by the own group", unix.Ucred{Uid: 65534, Gid: 1}, "daemon", true},
		{"a group that there is not", unix.Ucred{Uid: 65534, Gid: 1}, "no-such-group", false},
	} {
		if err := allowed(&tt.peer, tt.group); (err == nil) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
