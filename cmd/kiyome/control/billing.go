package control

import (
	"net/http"
	"net/url"

	"kiyome/accounts"
)

// billOptions reads what a request says of a bill.
func (s *sender) billOptions(r *http.Request) accounts.BillOptions {
	return accounts.BillOptions{Owner: r.URL.Query().Get("owner"), Progress: s.progress(r)}
}

func (s *Server) bill(r *http.Request, out *sender) (accounts.Bill, error) {
	m, err := accounts.ParseMonth(r.PathValue("month"))
	if err != nil {
		return accounts.Bill{}, err
	}
	return s.Accounts.Bill(m, out.billOptions(r), func(c accounts.Charge) bool { return out.send(message{Charge: &c}) })
}

func (s *Server) sinceIssued(r *http.Request, out *sender) (accounts.Bill, error) {
	m, err := accounts.ParseMonth(r.PathValue("month"))
	if err != nil {
		return accounts.Bill{}, err
	}
	return s.Accounts.SinceIssued(m, out.billOptions(r), func(d accounts.Difference) bool { return out.send(message{Change: &d}) })
}

func (s *Server) closeMonth(r *http.Request, out *sender) (accounts.Bill, error) {
	m, err := accounts.ParseMonth(r.PathValue("month"))
	if err != nil {
		return accounts.Bill{}, err
	}
	b, err := s.Accounts.CloseMonth(m, by(r), out.progress(r))
	if err != nil {
		s.Log.Warn("bill not closed", "month", m, "by", by(r), "err", err)
		return b, err
	}
	s.Log.Info("bill closed", "month", m, "by", by(r), "lines", b.Lines, "total", b.Total)
	return b, nil
}

// billPath is where a bill is asked for.
func billPath(m accounts.Month, more string, o accounts.BillOptions) string {
	q := url.Values{}
	if o.Owner != "" {
		q.Set("owner", o.Owner)
	}
	if o.Progress != nil {
		q.Set("progress", "true")
	}
	return "/billing/" + m.String() + more + "?" + q.Encode()
}

// Bill is like (*accounts.DB).Bill. When f ends it, what it gives is empty.
func (c *Client) Bill(m accounts.Month, o accounts.BillOptions, f func(accounts.Charge) bool) (accounts.Bill, error) {
	other := hear(o.Progress)
	return messages[accounts.Bill](c, "GET", billPath(m, "", o), nil, func(m message) bool {
		return m.Charge == nil && other(m) || m.Charge != nil && f(*m.Charge)
	})
}

// SinceIssued is like (*accounts.DB).SinceIssued. When f ends it, what it gives is empty.
func (c *Client) SinceIssued(m accounts.Month, o accounts.BillOptions, f func(accounts.Difference) bool) (accounts.Bill, error) {
	other := hear(o.Progress)
	return messages[accounts.Bill](c, "GET", billPath(m, "/changes", o), nil, func(m message) bool {
		return m.Change == nil && other(m) || m.Change != nil && f(*m.Change)
	})
}

// CloseMonth is like (*accounts.DB).CloseMonth.
func (c *Client) CloseMonth(m accounts.Month, _ string, progress accounts.Progress) (accounts.Bill, error) {
	path := billPath(m, "/close", accounts.BillOptions{Progress: progress})
	return messages[accounts.Bill](c, "POST", path, nil, hear(progress))
}
