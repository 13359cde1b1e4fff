package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"kiyome/cmd/kiyome/config"
)

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Deliver mail",
		Long: `Deliver mail, and filter what is sent, until SIGTERM: then idle clients hear 421, running transactions are
finished, and the exit status is 0. SIGHUP is "kiyome rules reload".

The account database must be there: serve never makes one, so that a state folder
that is not mounted bounces nobody's mail.`,
		Example: `  kiyome serve --config /etc/kiyome/kiyome.toml`,
		Args:    args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			return serve(c.Context(), cfg, newLog(cfg.Log, os.Stderr))
		},
	}
}

// newLog makes the log as the configuration wants it.
func newLog(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		panic(err) // the configuration was checked
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// serve runs a server until ctx ends.
func serve(ctx context.Context, c *config.Config, log *slog.Logger) error {
	defer syscall.Umask(syscall.Umask(0o077)) // mail is nobody else's
	if os.Geteuid() == 0 {
		log.Warn("running as root: mail that root writes cannot be read by its owner, and a fault has no bounds; run as the owner of the Maildirs")
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // before anything takes time: a SIGHUP while starting must not end us
	defer signal.Stop(hup)
	all, err := passedSockets()
	if err != nil {
		return err
	}
	s, err := openServer(ctx, c, all, log)
	if err != nil && ctx.Err() != nil {
		return nil // told to end before it began
	}
	if err != nil {
		return err
	}
	if all, err = openSockets(c, all); err != nil {
		return errors.Join(err, s.close(context.WithoutCancel(ctx)))
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go s.attend(ctx, hup)
	return s.serve(ctx, all)
}

// attend answers SIGHUP and tells systemd how we are. The watchdog hears of us only when
// we are alive by our own measure.
func (s *server) attend(ctx context.Context, hup <-chan os.Signal) {
	s.notify(daemon.SdNotifyReady)
	var watchdog <-chan time.Time
	interval, err := daemon.SdWatchdogEnabled(false)
	if err == nil && interval > 0 {
		t := time.NewTicker(interval / 3) // one check may fail, for a machine that was busy
		defer t.Stop()
		watchdog = t.C
	}
	for {
		select {
		case <-ctx.Done():
			s.notify(daemon.SdNotifyStopping)
			return
		case <-watchdog:
			s.prove(ctx, interval/3)
		case <-hup:
			go s.hangup(ctx) // new workers may take longer than the watchdog waits
		}
	}
}

// prove tells the watchdog that the server is alive, if it is.
func (s *server) prove(ctx context.Context, limit time.Duration) {
	check, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := s.Alive(check); err != nil && ctx.Err() == nil {
		s.log.Error("not alive: systemd will restart this server unless that ends", "err", err)
		return
	}
	s.notify(daemon.SdNotifyWatchdog)
}

// hangup reloads, which logs what came of it.
func (s *server) hangup(ctx context.Context) {
	s.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	s.Reload(ctx)
	s.notify(daemon.SdNotifyReady)
}

// notify tells systemd, when it started us.
func (s *server) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("systemd", "err", err)
	}
}
