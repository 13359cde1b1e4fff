package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/spf13/cobra"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/config"
	"kiyome/cmd/kiyome/control"
	"kiyome/testdata"
)

// The mailboxes of the demonstration.
const (
	demoSubscribed = "taro@example.jp"
	demoPlain      = "hanako@example.jp"
)

// demoMails are the messages of the demonstration, from package testdata.
var demoMails = []struct{ name, what string }{
	{"clean", "a clean message"},
	{"attachment", "an infected attachment"},
	{"zip", "an infected file in a zip, named in Japanese"},
	{"body", "an infected body"},
}

func (a *app) demoCommand() *cobra.Command {
	var keep, once bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show what it does, with nothing configured",
		Long: `Start a server on loopback with a state folder of its own, make two mailboxes (one
has the virus check, one has not), deliver messages to both and show what each
mailbox then holds. It goes on serving until ^C; then everything is removed.`,
		Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "kiyome-demo-")
			if err != nil {
				return err
			}
			if !keep {
				defer os.RemoveAll(dir)
			}
			return a.demo(c.Context(), dir, once, keep)
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "keep the mailboxes and the state folder at the end")
	c.Flags().BoolVar(&once, "once", false, "end when everything was shown")
	return c
}

func (a *app) demo(ctx context.Context, dir string, once, keep bool) error {
	defer syscall.Umask(syscall.Umask(0o077))
	l, err := net.Listen("tcp", "127.0.0.1:2424")
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return err
	}
	cfg, err := demoConfig(dir, l.Addr().String())
	if err != nil {
		return err
	}
	if err := demoAccounts(cfg); err != nil {
		return err
	}
	var level slog.LevelVar
	level.Set(slog.LevelWarn)
	s, err := openServer(ctx, cfg, sockets{}, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: &level})))
	if err != nil {
		return errors.Join(err, l.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, sockets{inbound: []net.Listener{l}}) }()

	show := newShow(a.out, cfg)
	show.opening(l.Addr().String())
	for i, mail := range demoMails {
		raw := testdata.MustMail(mail.name)
		if err := deliverTo(l.Addr().String(), raw, demoSubscribed, demoPlain); err != nil {
			stop()
			return errors.Join(err, <-served)
		}
		if err := show.delivery(i+1, mail.what, raw); err != nil {
			stop()
			return errors.Join(err, <-served)
		}
	}
	if once {
		stop()
		return <-served
	}
	show.closing(l.Addr().String(), keep)
	level.Set(slog.LevelInfo)
	return <-served
}

// demoConfig makes a configuration that keeps to dir, and writes it there for other commands.
func demoConfig(dir, listen string) (*config.Config, error) {
	c := config.Default()
	c.File = filepath.Join(dir, "kiyome.toml")
	c.Hostname = "mail.example.jp"
	c.StateDir = filepath.Join(dir, "state")
	c.Inbound.Listen = []string{listen}
	c.Mailboxes.Path = filepath.Join(dir, "mail", "{domain}", "{local}", "Maildir")
	c.Rules.Dirs = nil
	c.Report.From = "virus-check@example.jp"
	c.Report.Provider = "Example Internet"
	_, err := writeWhole(c.File, func(w io.Writer) (int64, error) { return 0, c.Print(w) })
	return c, errors.Join(err, os.Mkdir(filepath.Join(dir, "mail"), 0o700))
}

// demoAccounts makes the two mailboxes.
func demoAccounts(c *config.Config) (err error) {
	db, err := openFile(c, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, address := range []string{demoSubscribed, demoPlain} {
		if _, err := db.Add(accounts.NewAccount{Address: address, Language: c.Report.Language, By: control.UserName()}); err != nil {
			return err
		}
	}
	_, err = db.Change(demoSubscribed, accounts.Subscribed, accounts.Inbound, time.Time{}, control.UserName())
	return err
}

// deliverTo delivers one message by LMTP, to all recipients in one transaction.
func deliverTo(address string, raw []byte, recipients ...string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	c := smtp.NewClientLMTP(conn)
	defer c.Close()
	return errors.Join(c.SendMail("someone@example.com", recipients, bytes.NewReader(raw)), c.Quit())
}
