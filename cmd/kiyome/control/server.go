package control

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"kiyome/accounts"
)

// Options configures a Server.
type Options struct {
	Socket   string // path of the socket
	Group    string // whose members may use it; "" for none
	Spool    string // folder for unlinked files: what a slow client reads must not hold the database
	Accounts Accounts
	Operator Operator
	Log      *slog.Logger
}

// Server answers commands.
type Server struct {
	Options
	http *http.Server
	l    net.Listener
	end  context.CancelFunc // of what requests have begun and wait for
}

// Listen makes the socket. The lock of the account database must be held: it is what
// keeps two servers apart, so a socket that is there already is a dead one's and is removed.
func Listen(o Options) (*Server, error) {
	l, err := listen(o.Socket, o.Group)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	ctx, end := context.WithCancel(context.Background())
	s := &Server{Options: o, l: l, end: end}
	s.http = &http.Server{
		BaseContext:       func(net.Listener) context.Context { return ctx },
		Handler:           s.guard(s.handler()),
		ConnContext:       withPeer,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	return s, nil
}

func listen(path, group string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// Nobody else may connect, not even between bind and chmod.
	old := unix.Umask(0o177)
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	if err != nil || group == "" {
		return l, err
	}
	g, err := user.LookupGroup(group)
	if err == nil {
		var gid int
		gid, err = strconv.Atoi(g.Gid)
		err = errors.Join(err, os.Chown(path, -1, gid), os.Chmod(path, 0o660))
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Serve answers commands until Close.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close removes the socket and lets running commands finish until ctx ends. What the
// operator was asked for is told to end: rules may take minutes to compile.
func (s *Server) Close(ctx context.Context) error {
	s.end()
	err := s.http.Shutdown(ctx)
	return errors.Join(err, s.http.Close())
}

// guard lets nobody in who is not allowed, whatever the file's mode has become.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, ok := r.Context().Value(peerKey{}).(*unix.Ucred)
		err := ErrDenied
		if ok {
			err = allowed(peer, s.Group)
		}
		if err != nil {
			s.Log.Warn("control", "err", err)
			fail(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// by names the user who gave the order.
func by(r *http.Request) string {
	return userName(r.Context().Value(peerKey{}).(*unix.Ucred).Uid)
}

// A route is something that can be asked.
type route struct {
	pattern string
	handle  http.HandlerFunc
}

// routes lists all that can be asked. openapi.json describes it.
func (s *Server) routes() []route {
	return []route{
		{"GET /ping", answer(func(*http.Request) (int, error) { return os.Getpid(), nil })},
		{"GET /openapi.json", describe},
		{"GET /status", answer(func(r *http.Request) (Status, error) { return s.Operator.Status(r.Context()) })},
		{"GET /accounts", s.file(s.list)},
		{"POST /accounts", answer(s.add)},
		{"GET /accounts/{address}", answer(s.get)},
		{"PATCH /accounts/{address}", answer(s.set)},
		{"GET /accounts/{address}/services", answer(s.services)},
		{"GET /accounts/{address}/events", answer(s.history)},
		{"POST /accounts/{address}/events", answer(s.change)},
		{"GET /accounts/{address}/removals", answer(s.removals)},
		{"POST /owners/close", answer(s.closeOwner)},
		{"GET /billing/{month}", lines(s.bill)},
		{"GET /billing/{month}/changes", lines(s.sinceIssued)},
		{"POST /billing/{month}/close", lines(s.closeMonth)},
		{"GET /check", answer(s.check)},
		{"GET /export", s.file(s.export)},
		{"POST /import", lines(s.load)},
		{"GET /backup", s.file(s.backup)},
		{"POST /rules/reload", answer(func(r *http.Request) (Reloaded, error) { return s.Operator.Reload(r.Context()) })},
		{"POST /rules/rollback", answer(func(r *http.Request) (Reloaded, error) { return s.Operator.Rollback(r.Context()) })},
		{"POST /rules/silence", answer(s.silence)},
	}
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.pattern, r.handle)
	}
	return mux
}

//go:embed openapi.json
var description []byte

// describe gives the description of all this for other people's programs.
func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(description)
}

// answer makes a handler of a function whose result goes out as JSON.
func answer[T any](f func(*http.Request) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v) // a client that went away hears nothing anyhow
	}
}

func fail(w http.ResponseWriter, err error) {
	f, status := toFault(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(f)
}

// maxBody bounds a request that is not an import.
const maxBody = 1 << 20

// body reads the JSON of a request.
func body[T any](r *http.Request) (T, error) {
	var v T
	d := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	d.DisallowUnknownFields() // a time that is not called "at" would be now
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return v, nil
}

// file makes a handler of a function that writes much. It writes to a file
// first: a client that reads slowly must not keep a transaction of the database
// open, and an error must be known before the first byte goes out.
func (s *Server) file(write func(*http.Request, io.Writer) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f, err := s.temp()
		if err != nil {
			fail(w, err)
			return
		}
		defer f.Close()
		b := bufio.NewWriterSize(f, 1<<16)
		err = errors.Join(write(r, b), b.Flush())
		size, seekErr := f.Seek(0, io.SeekCurrent)
		_, rewindErr := f.Seek(0, io.SeekStart)
		if err := errors.Join(err, seekErr, rewindErr); err != nil {
			fail(w, err)
			return
		}
		// With a length, a client knows a broken answer from a whole one.
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		io.Copy(w, f)
	}
}

// temp opens a file that has no name.
func (s *Server) temp() (*os.File, error) {
	fd, err := unix.Open(s.Spool, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open temporary file in", Path: s.Spool, Err: err}
	}
	return os.NewFile(uintptr(fd), "temporary file in "+s.Spool), nil
}

func (s *Server) list(r *http.Request, w io.Writer) error {
	lines := json.NewEncoder(w)
	var err error
	one := func(a accounts.Account) bool {
		err = lines.Encode(a)
		return err == nil
	}
	if q := r.URL.Query(); q.Has("owner") {
		return errors.Join(s.Accounts.ListOwner(q.Get("owner"), one), err)
	}
	return errors.Join(s.Accounts.List(one), err)
}

func (s *Server) add(r *http.Request) (accounts.Account, error) {
	a, err := body[accounts.NewAccount](r)
	if err != nil {
		return accounts.Account{}, err
	}
	a.By = by(r)
	added, err := s.Accounts.Add(a)
	s.log(r, "add", a.Address, err)
	return added, err
}

func (s *Server) get(r *http.Request) (accounts.Account, error) {
	return s.Accounts.Get(r.PathValue("address"))
}

func (s *Server) set(r *http.Request) (accounts.Account, error) {
	c, err := body[accounts.Settings](r)
	if err != nil {
		return accounts.Account{}, err
	}
	a, err := s.Accounts.Set(r.PathValue("address"), c, by(r))
	s.log(r, "set", r.PathValue("address"), err)
	return a, err
}

func (s *Server) services(r *http.Request) ([]accounts.Standing, error) {
	return s.Accounts.Services(r.PathValue("address"))
}

// closing is the body of an order to close what an owner has.
type closing struct {
	Owner string    `json:"owner"`
	At    time.Time `json:"at,omitzero"`
}

func (s *Server) closeOwner(r *http.Request) ([]accounts.Account, error) {
	o, err := body[closing](r)
	if err != nil {
		return nil, err
	}
	closed, err := s.Accounts.CloseOwner(o.Owner, o.At, by(r))
	s.log(r, "close owner", "", err, "owner", o.Owner, "accounts", len(closed), "effective", effective(o.At))
	return closed, err
}

func (s *Server) history(r *http.Request) ([]accounts.Event, error) {
	return s.Accounts.History(r.PathValue("address"))
}

// transition is the body of a change.
type transition struct {
	Kind    accounts.Kind    `json:"kind"`
	Service accounts.Service `json:"service,omitempty"`
	At      time.Time        `json:"at,omitzero"`
	Force   bool             `json:"force,omitempty"` // to subscribe without a connection course
}

func (s *Server) change(r *http.Request) (accounts.Account, error) {
	t, err := body[transition](r)
	if err != nil {
		return accounts.Account{}, err
	}
	var a accounts.Account
	if t.Force && t.Kind == accounts.Subscribed {
		a, err = s.Accounts.Force(r.PathValue("address"), t.Service, t.At, by(r))
	} else {
		a, err = s.Accounts.Change(r.PathValue("address"), t.Kind, t.Service, t.At, by(r))
	}
	s.log(r, string(t.Kind), r.PathValue("address"), err, "service", t.Service, "effective", effective(t.At))
	return a, err
}

// effective is when an order counts from.
func effective(at time.Time) time.Time {
	if at.IsZero() {
		return time.Now()
	}
	return at
}

// log has one line for each change of an account, and for each that was refused.
func (s *Server) log(r *http.Request, what, address string, err error, more ...any) {
	args := append([]any{"what", what, "address", address, "by", by(r)}, more...)
	if err != nil {
		s.Log.Warn("account not changed", append(args, "err", err)...)
		return
	}
	s.Log.Info("account", args...)
}

// checked is the answer to a check.
type checked struct {
	Problems []string `json:"problems,omitempty"`
	Accounts int      `json:"accounts"`
}

func (s *Server) check(*http.Request) (checked, error) {
	problems, n, err := s.Accounts.Check()
	return checked{problems, n}, err
}

// load imports. The database is not touched before the whole of it is there.
func (s *Server) load(r *http.Request, out *sender) (accounts.Imported, error) {
	o := accounts.ImportOptions{By: by(r), DryRun: r.URL.Query().Get("dry_run") == "true", Progress: out.progress(r)}
	n, err := s.Accounts.Import(r.Body, o)
	s.log(r, "import", "", err, "added", n.Added, "continued", n.Continued, "dry", o.DryRun)
	return n, err
}

func (s *Server) export(r *http.Request, w io.Writer) error {
	switch format := r.URL.Query().Get("format"); format {
	case "csv":
		return s.Accounts.ExportCSV(w)
	case "", "json":
		return s.Accounts.Export(w)
	default:
		return fmt.Errorf("%w: there is no format %.40q: csv and json are known", ErrRequest, format)
	}
}

func (s *Server) backup(_ *http.Request, w io.Writer) error {
	_, err := s.Accounts.Backup(w)
	return err
}

// silencing is the body of an order to silence a rule.
type silencing struct {
	Name string `json:"name"`
	Off  bool   `json:"off,omitempty"`
}

func (s *Server) silence(r *http.Request) (Reloaded, error) {
	o, err := body[silencing](r)
	if err != nil {
		return Reloaded{}, err
	}
	return s.Operator.Silence(r.Context(), o.Name, o.Off)
}
