package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/config"
	"kiyome/cmd/kiyome/control"
	"kiyome/cmd/kiyome/monitor"
	"kiyome/cmd/kiyome/web"
	"kiyome/lmtp"
	"kiyome/rules"
	"kiyome/scan"
	"kiyome/scan/report"
	"kiyome/scan/worker"
	"kiyome/store"
)

// remember is how long a delivery whose reply was lost, and a message that
// ended its worker, are remembered: longer than the MTA tries again (5 days).
const remember = 6 * 24 * time.Hour

// server is a kiyome that serves, with all its rooms wired together. The
// demonstration runs the same.
type server struct {
	config  *config.Config
	log     *slog.Logger
	started time.Time

	db       *accounts.DB
	removals *accounts.Removals
	scanner  scanner
	inbound  *lmtp.Server
	outbound *lmtp.Server
	control  *control.Server
	page     *web.Server // nil: there is none

	reloading sync.Mutex // one change of the rules at a time
	passwords []string   // in service; guarded by reloading
	mu        sync.Mutex // guards rules and reloads
	rules     rules.Compiled
	reloads   reloads
	sockets   sockets
	stopping  atomic.Bool

	undo []func(context.Context) error // what close has to do, in reverse
}

// openServer prepares everything that can fail before mail is taken. It never
// makes an account database.
func openServer(ctx context.Context, c *config.Config, passed sockets, log *slog.Logger) (_ *server, err error) {
	s := &server{config: c, log: log, started: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	// The lock of the database comes first: it keeps two servers apart.
	database, err := accounts.Lock(c.State(databaseName), accountOptions(c))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{rulesName, spoolName} {
		if err := os.Mkdir(c.State(name), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			database.Close()
			return nil, fmt.Errorf("state folder: %w", err)
		}
	}
	set, err := s.prepare(ctx, database)
	if err != nil {
		return nil, err
	}
	if err := s.startScanner(ctx, set); err != nil {
		return nil, err
	}
	if err := s.startLMTP(); err != nil {
		return nil, err
	}
	if len(c.Page.Listen)+len(passed.page) > 0 {
		if s.page, err = newPage(c, passed, s.db, log); err != nil {
			return nil, err
		}
	}
	s.control, err = control.Listen(control.Options{
		Socket: c.State(socketName), Group: c.Control.Group, Spool: c.State(spoolName),
		Accounts: s.db, Operator: s, Log: log,
	})
	if err != nil {
		return nil, err
	}
	s.onClose(s.unloading)
	s.onClose(s.control.Close)
	return s, nil
}

// removalsKept is for how long the history of removals is kept.
func removalsKept(c *config.Config) time.Duration {
	return time.Duration(c.Removals.Days) * 24 * time.Hour
}

// unloading waits for a change of the rules that was told to end: nothing of it is left behind.
func (s *server) unloading(context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	return nil
}

func (s *server) onClose(f func(context.Context) error) { s.undo = append(s.undo, f) }

// close undoes what openServer did, the latest first. It can be called again.
func (s *server) close(ctx context.Context) error {
	var errs []error
	for _, f := range slices.Backward(s.undo) {
		errs = append(errs, f(ctx))
	}
	s.undo = nil
	return errors.Join(errs...)
}

// prepare reads the database and builds the rules, side by side: both may take long.
func (s *server) prepare(ctx context.Context, database *accounts.Locked) (rules.Compiled, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := make(chan error, 1)
	go func() {
		db, err := database.Open()
		if err == nil {
			s.db = db
		} else {
			cancel() // without accounts, nobody needs rules
		}
		read <- err
	}()
	set, err := s.buildFirst(ctx)
	if failed := <-read; failed != nil {
		return set, failed
	}
	s.onClose(func(context.Context) error { return s.db.Close() })
	s.removals = accounts.OpenRemovals(s.config.State(accounts.RemovalsName), removalsKept(s.config), s.log)
	s.onClose(func(context.Context) error { return s.removals.Close() })
	s.db.SetRemovals(s.removals)
	return set, err
}

// buildFirst builds the rules of a server that starts. Where that would lose some that served,
// those go on serving.
func (s *server) buildFirst(ctx context.Context) (rules.Compiled, error) {
	set, problems, err := buildRules(ctx, s.config, (*exec.Cmd).Run)
	s.logProblems(problems)
	if errors.Is(err, rules.ErrWouldLose) {
		s.log.Error("the rules on disk lack some that served: those compiled before go on serving", "err", err)
		s.reloaded(err)
		return rules.Current(s.config.State(rulesName))
	}
	if err == nil {
		s.reloaded(nil)
	}
	return set, err
}

// startScanner starts the workers and sees that they find EICAR.
func (s *server) startScanner(ctx context.Context, set rules.Compiled) error {
	poison, err := store.OpenMemory(s.config.State(poisonName), remember)
	if err != nil {
		return err
	}
	o := poolOptions(s.config, s.config.State(spoolName))
	o.Poison, o.Log = poison, s.log
	if s.passwords, err = readPasswords(s.config.Scan.Passwords); err != nil {
		return err
	}
	o.Engine.Passwords = s.passwords
	if s.config.Scan.Sandbox == "off" {
		s.log.Warn("scan.sandbox is off: messages are scanned in the server's own process, unprotected")
		s.scanner, err = newEngines(ctx, set, rulesConfig(s.config), o)
	} else {
		s.scanner, err = worker.NewPool(ctx, set, rulesConfig(s.config), o)
	}
	if errors.Is(err, worker.ErrSandbox) {
		return fmt.Errorf(`start the workers: %w (where that cannot be helped, [scan] sandbox = "off" scans without protection)`, err)
	}
	if err != nil {
		return fmt.Errorf("start the workers: %w", err)
	}
	s.onClose(s.scanner.Close)
	s.rules = set
	return selfTest(ctx, s.scanner)
}

// selfTest has the EICAR test file scanned: a server that finds nothing must not say clean.
func selfTest(ctx context.Context, sc scanner) error {
	// In two pieces, so that no scanner takes this program for infected.
	text := `X5O!P%@AP[4\PZX54(P^)7CC)7}$` + strings.ToUpper("eicar-standard-antivirus-test-file") + `!$H+H*`
	m, err := scan.NewMessage([]byte("Subject: self-test\r\n\r\n" + text + "\r\n"))
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	defer m.Close()
	v, err := sc.Scan(ctx, m)
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	if len(v.Findings) == 0 {
		return errors.New("self-test: the EICAR test file was not found: are the rules that find it disabled or ignored? (kiyome rules list, kiyome rules enable)")
	}
	return nil
}

// startLMTP makes the servers that take mail; nothing is accepted before serve.
func (s *server) startLMTP() error {
	c := s.config
	delivered, err := store.OpenMemory(c.State(repliesName), remember)
	if err != nil {
		return err
	}
	reports, err := newReports(c)
	if err != nil {
		return err
	}
	next, err := newNextHop(c, s.log)
	if err != nil {
		return err
	}
	s.onClose(func(context.Context) error { next.Close(); return nil })
	o := lmtp.Options{
		Hostname:    c.Hostname,
		Accounts:    s.db,
		Scanner:     s.scanner,
		NextHop:     next,
		Memory:      delivered,
		Removals:    s.removals,
		Spool:       c.State(spoolName),
		Sessions:    c.Inbound.Sessions,
		IdleTimeout: c.Inbound.IdleTimeout,
		DataTimeout: c.Inbound.DataTimeout,
		Log:         s.log,
	}
	out := o
	out.Outbound = newOutbound(c, reports)
	s.outbound = lmtp.NewServer(out)

	o.Reports = reports
	o.Store = store.New(store.Options{Hostname: c.Hostname, Root: mailRoot(c.Mailboxes.Path)})
	o.QuotaBounce = c.Inbound.Quota == "bounce"
	if o.SRS, err = newSRS(c); err != nil {
		return err
	}
	if c.Inbound.Unknown == "deliver" {
		o.Unknown = func(address string) (string, bool) { return existingMaildir(c.Mailboxes.Path, address) }
	}
	s.inbound = lmtp.NewServer(o)
	return nil
}

// newReports reads the templates of the reports and tries them.
func newReports(c *config.Config) (*report.Writer, error) {
	if c.Report.Templates != "" {
		// Without the folder all built-in ones would serve, and nobody would know.
		if err := isFolder(c.Report.Templates); err != nil {
			return nil, fmt.Errorf("report.templates: %w", err)
		}
	}
	return report.New(report.Options{
		From: c.Report.From, Provider: c.Report.Provider, Hostname: c.Hostname,
		Language: c.Report.Language, Timezone: c.Timezone, Templates: c.Report.Templates,
	})
}

func isFolder(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", path)
	}
	return err
}

// mailRoot is the folder below which all Maildirs of a template lie.
func mailRoot(template string) string {
	fixed, _, _ := strings.Cut(template, "{")
	return filepath.Clean(fixed[:strings.LastIndexByte(fixed, '/')+1])
}

// existingMaildir gives the Maildir of an address without an account, if there is one.
func existingMaildir(template, address string) (string, bool) {
	canonical, err := accounts.ParseAddress(address)
	if err != nil {
		return "", false
	}
	dir, err := accounts.ExpandPath(template, canonical)
	if err != nil {
		return "", false
	}
	info, err := os.Stat(filepath.Join(dir, "new"))
	return dir, err == nil && info.IsDir()
}

// serve takes mail from the sockets until ctx ends, then finishes what is under way.
func (s *server) serve(ctx context.Context, all sockets) error {
	s.sockets = all
	s.log.Info("serving", "version", versionText(), "listen", addressTexts(all.inbound), "outbound", addressTexts(all.outbound),
		"page", addressTexts(all.page), "monitor", addressTexts(all.monitor), "rules", s.rules.Version, "accounts", s.config.State(databaseName))
	failed := make(chan error, len(all.inbound)+len(all.outbound)+1)
	go func() { failed <- s.control.Serve() }()
	for _, l := range all.inbound {
		go func() { failed <- s.inbound.Serve(l) }()
	}
	for _, l := range all.outbound {
		go func() { failed <- s.outbound.Serve(l) }()
	}
	for _, l := range all.page {
		go s.servePage(l)
	}
	s.watched(all.monitor)
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	return errors.Join(err, s.shutdown(context.WithoutCancel(ctx)))
}

// watched answers on the sockets for that until the server is closed. Its failure is no
// reason to take no mail.
func (s *server) watched(all []net.Listener) {
	m := monitor.New(s, s.log)
	s.onClose(func(context.Context) error { return m.Close() })
	for _, l := range all {
		go func() {
			if err := m.Serve(l); err != nil {
				s.log.Error("monitor", "listen", addressText(l.Addr()), "err", err)
			}
		}()
	}
}

// finishTime is how long transactions under way may take to finish at the end. What is
// left then is cut off; the MTA still has those messages.
const finishTime = 60 * time.Second

func (s *server) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	s.stopping.Store(true)
	s.log.Info("stopping")
	ended := make(chan error)
	go func() { ended <- s.outbound.Shutdown(ctx) }()
	go func() { ended <- s.shutdownPage(ctx) }()
	err := errors.Join(s.inbound.Shutdown(ctx), <-ended, <-ended)
	err = errors.Join(err, s.close(ctx))
	if err == nil {
		s.log.Info("stopped")
	}
	return err
}

func addressTexts(all []net.Listener) []string {
	var texts []string
	for _, l := range all {
		texts = append(texts, addressText(l.Addr()))
	}
	return texts
}

func addressText(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return a.String()
}
