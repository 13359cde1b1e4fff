package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"

	"kiyome/cmd/kiyome/config"
	"kiyome/lmtp"
	"kiyome/lmtp/relay"
	"kiyome/lmtp/srs"
	"kiyome/scan/report"
)

// newNextHop makes the client that passes mail on. Its files are read now, so that a
// bad one is found before there is mail.
func newNextHop(c *config.Config, log *slog.Logger) (*relay.Client, error) {
	o := c.Outbound
	next, err := relay.New(relay.Options{
		Address: o.NextHop, Hostname: c.Hostname, Connections: o.Connections, Log: log,
		TLS: relay.TLS{Policy: relay.Policy(o.TLS), CA: o.TLSCA, Name: o.TLSName, Cert: o.TLSCertificate, Key: o.TLSKey},
	})
	if err != nil {
		return nil, fmt.Errorf("outbound: %w", err)
	}
	return next, nil
}

// newOutbound makes the filter of outgoing mail.
func newOutbound(c *config.Config, reports *report.Writer) *lmtp.Outbound {
	return &lmtp.Outbound{
		Notices:        reports,
		RefuseUnknown:  c.Outbound.Unknown == "refuse",
		RefuseInfected: c.Outbound.Infected == "refuse",
	}
}

// newSRS makes what rewrites the senders of forwarded mail; nil where that is not wanted.
func newSRS(c *config.Config) (*srs.SRS, error) {
	o := c.Outbound.SRS
	if o.Domain == "" {
		return nil, nil
	}
	secrets, err := readSecrets(o.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("outbound.srs.secret_file: %w", err)
	}
	return &srs.SRS{Domain: o.Domain, Secrets: secrets}, nil
}

const (
	secretsSize = 64 << 10 // bytes of the file
	secretLeast = 16       // bytes of one secret: no guessing
)

// readSecrets reads a file of secrets. Its errors tell none.
func readSecrets(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, secretsSize))
	if err != nil {
		return nil, err
	}
	var secrets []string
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0 || line[0] == '#':
		case len(line) < secretLeast:
			return nil, fmt.Errorf("%s:%d: a secret has %d characters or more", file, number, secretLeast)
		default:
			secrets = append(secrets, string(line))
		}
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%s: there is no secret in it", file)
	}
	return secrets, nil
}
