package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/config"
	"kiyome/cmd/kiyome/web"
)

// newProver makes what proves the passwords of members. Its file is read now, so that a
// bad one is found before somebody logs in.
func newProver(c *config.Config) (web.Prover, error) {
	p := c.Page
	prover, err := web.NewIMAP(web.IMAP{Address: p.IMAP, TLS: p.IMAPTLS, CA: p.IMAPTLSCA, Name: p.IMAPTLSName, Proxy: p.IMAPProxy, Timeout: p.IMAPTimeout})
	if err != nil {
		return nil, fmt.Errorf("page.imap: %w", err)
	}
	return prover, nil
}

// newPage makes the page of members.
func newPage(c *config.Config, passed sockets, db *accounts.DB, log *slog.Logger) (*web.Server, error) {
	prover, err := newProver(c)
	if err != nil {
		return nil, err
	}
	var proxies []netip.Prefix
	for _, s := range c.Page.Proxies {
		network, err := config.ParseNetwork(s)
		if err != nil {
			return nil, fmt.Errorf("page.proxies: %w", err)
		}
		proxies = append(proxies, network)
	}
	return web.New(web.Options{
		Accounts: db, KeptDays: c.Removals.Days, Prover: prover, Outbound: len(c.Outbound.Listen)+len(passed.outbound) > 0,
		Provider: c.Report.Provider, Language: c.Report.Language, Timezone: c.Timezone, Proxies: proxies, Log: log,
	})
}

// servePage serves the page on a socket. When that fails, mail goes on.
func (s *server) servePage(l net.Listener) {
	if err := s.page.Serve(l); err != nil {
		s.log.Error("the page is no longer served: start again", "listen", addressText(l.Addr()), "err", err)
	}
}

// shutdownPage lets requests under way finish.
func (s *server) shutdownPage(ctx context.Context) error {
	if s.page == nil {
		return nil
	}
	return s.page.Shutdown(ctx)
}
