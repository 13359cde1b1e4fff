package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"kiyome/accounts"
)

// How long a Client waits: for an ordinary answer, and for one that needs the
// whole database or new workers.
const (
	shortWait = 5 * time.Second
	longWait  = 30 * time.Minute
)

// Client asks a running server. It is safe for concurrent use.
type Client struct {
	http   http.Client
	socket string
}

// Dial finds the server behind socket and makes sure that it answers:
// ErrNoServer when there is none, ErrFrozen when it is there and does not
// answer. In the latter case the database is not to be touched.
func Dial(ctx context.Context, socket string) (*Client, error) {
	c := &Client{socket: socket}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	err := c.call(ctx, shortWait, "GET", "/ping", nil, new(int))
	switch {
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%s: %w", socket, ErrNoServer)
	case errors.Is(err, ErrFrozen):
		return nil, fmt.Errorf("%w; is it stopped? The database was not touched", err)
	case err != nil:
		return nil, err
	}
	return c, nil
}

// call sends in as JSON and reads the answer into out.
func (c *Client) call(ctx context.Context, wait time.Duration, method, path string, in, out any) error {
	var b bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&b).Encode(in); err != nil {
			return err
		}
	}
	return c.stream(ctx, wait, method, path, &b, func(r io.Reader) error {
		return json.NewDecoder(r).Decode(out)
	})
}

// stream sends body and hands the answer to read.
func (c *Client) stream(ctx context.Context, wait time.Duration, method, path string, body io.Reader, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://kiyome"+path, body)
	if err != nil {
		return err
	}
	a, err := c.http.Do(r)
	if err != nil {
		return c.explain(err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		f := fault{Text: "the server answers " + a.Status}
		if err := json.NewDecoder(io.LimitReader(a.Body, maxBody)).Decode(&f); err != nil {
			f.Text = "the server answers " + a.Status
		}
		return f
	}
	if err := read(a.Body); err != nil {
		return c.explain(err)
	}
	return nil
}

// explain tells what a failed exchange means to somebody at a terminal.
func (c *Client) explain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", c.socket, ErrFrozen)
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%s: %w", c.socket, ErrDenied)
	}
	return err
}

// account gives the path of an account's resource.
func account(address, more string) string { return "/accounts/" + url.PathEscape(address) + more }

// Add is like (*accounts.DB).Add. The server knows by itself who asks.
func (c *Client) Add(n accounts.NewAccount) (a accounts.Account, err error) {
	err = c.call(context.Background(), shortWait, "POST", "/accounts", n, &a)
	return a, err
}

// Change is like (*accounts.DB).Change.
func (c *Client) Change(address string, k accounts.Kind, s accounts.Service, at time.Time, _ string) (a accounts.Account, err error) {
	err = c.call(context.Background(), shortWait, "POST", account(address, "/events"), transition{Kind: k, Service: s, At: at}, &a)
	return a, err
}

// Force is like (*accounts.DB).Force.
func (c *Client) Force(address string, s accounts.Service, at time.Time, _ string) (a accounts.Account, err error) {
	err = c.call(context.Background(), shortWait, "POST", account(address, "/events"), transition{accounts.Subscribed, s, at, true}, &a)
	return a, err
}

// Services is like (*accounts.DB).Services.
func (c *Client) Services(address string) (all []accounts.Standing, err error) {
	err = c.call(context.Background(), shortWait, "GET", account(address, "/services"), nil, &all)
	return all, err
}

// CloseOwner is like (*accounts.DB).CloseOwner.
func (c *Client) CloseOwner(owner string, at time.Time, _ string) (closed []accounts.Account, err error) {
	err = c.call(context.Background(), longWait, "POST", "/owners/close", closing{owner, at}, &closed)
	return closed, err
}

// Set is like (*accounts.DB).Set.
func (c *Client) Set(address string, s accounts.Settings, _ string) (a accounts.Account, err error) {
	err = c.call(context.Background(), shortWait, "PATCH", account(address, ""), s, &a)
	return a, err
}

// Get is like (*accounts.DB).Get.
func (c *Client) Get(address string) (a accounts.Account, err error) {
	err = c.call(context.Background(), shortWait, "GET", account(address, ""), nil, &a)
	return a, err
}

// History is like (*accounts.DB).History.
func (c *Client) History(address string) (events []accounts.Event, err error) {
	err = c.call(context.Background(), shortWait, "GET", account(address, "/events"), nil, &events)
	return events, err
}

// List is like (*accounts.DB).List.
func (c *Client) List(f func(accounts.Account) bool) error { return c.list("/accounts", f) }

// ListOwner is like (*accounts.DB).ListOwner.
func (c *Client) ListOwner(owner string, f func(accounts.Account) bool) error {
	return c.list("/accounts?"+url.Values{"owner": {owner}}.Encode(), f)
}

func (c *Client) list(path string, f func(accounts.Account) bool) error {
	return c.stream(context.Background(), longWait, "GET", path, nil, func(r io.Reader) error {
		for lines := json.NewDecoder(r); ; {
			var a accounts.Account
			if err := lines.Decode(&a); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if !f(a) {
				return nil
			}
		}
	})
}

// Check is like (*accounts.DB).Check.
func (c *Client) Check() (problems []string, n int, err error) {
	var a checked
	err = c.call(context.Background(), longWait, "GET", "/check", nil, &a)
	return a.Problems, a.Accounts, err
}

// Backup is like (*accounts.DB).Backup.
func (c *Client) Backup(w io.Writer) (n int64, err error) {
	err = c.stream(context.Background(), longWait, "GET", "/backup", nil, func(r io.Reader) error {
		n, err = io.Copy(w, r)
		return err
	})
	return n, err
}

// Export is like (*accounts.DB).Export.
func (c *Client) Export(w io.Writer) error {
	return c.stream(context.Background(), longWait, "GET", "/export", nil, func(r io.Reader) error {
		_, err := io.Copy(w, r)
		return err
	})
}

// ExportCSV is like (*accounts.DB).ExportCSV.
func (c *Client) ExportCSV(w io.Writer) error {
	return c.stream(context.Background(), longWait, "GET", "/export?format=csv", nil, func(r io.Reader) error {
		_, err := io.Copy(w, r)
		return err
	})
}

// Import is like (*accounts.DB).Import. The server knows by itself who asks.
func (c *Client) Import(r io.Reader, o accounts.ImportOptions) (accounts.Imported, error) {
	q := url.Values{}
	if o.DryRun {
		q.Set("dry_run", "true")
	}
	if o.Progress != nil {
		q.Set("progress", "true")
	}
	return messages[accounts.Imported](c, "POST", "/import?"+q.Encode(), r, hear(o.Progress))
}

// Close ends the connection; the server runs on.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Status asks how the server is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.call(ctx, shortWait, "GET", "/status", nil, &s)
	return s, err
}

// Reload has the configuration read again and its rules put in service.
func (c *Client) Reload(ctx context.Context) (a Reloaded, err error) {
	err = c.call(ctx, longWait, "POST", "/rules/reload", nil, &a)
	return a, err
}

// Rollback has the rules put in service that served before.
func (c *Client) Rollback(ctx context.Context) (a Reloaded, err error) {
	err = c.call(ctx, longWait, "POST", "/rules/rollback", nil, &a)
	return a, err
}

// Silence has a rule, or an object, taken out of service, or with off put back.
func (c *Client) Silence(ctx context.Context, name string, off bool) (a Reloaded, err error) {
	err = c.call(ctx, longWait, "POST", "/rules/silence", silencing{name, off}, &a)
	return a, err
}

var (
	_ Accounts = (*Client)(nil)
	_ Accounts = (*accounts.DB)(nil)
	_ Operator = (*Client)(nil)
)
