package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// IMAP says which IMAP server knows the members' passwords, and how it is reached.
type IMAP struct {
	Address string        // host:port or unix:PATH
	TLS     string        // "starttls" or "tls"; any other is none
	CA      string        // file of the certificates that sign the server's; "": those of the system
	Name    string        // that its certificate must have; "": the host of the address
	Proxy   bool          // it is told who logs in, by the PROXY protocol
	Timeout time.Duration // of all of it, connecting included
}

// errWrongPassword is the answer of an IMAP server to a log-in that it refuses. Every
// other error means that we cannot tell.
var errWrongPassword = errors.New("wrong address or password")

// imapLimit bounds what is read from the server for one log-in.
const imapLimit = 64 << 10 // bytes

// imapProof proves passwords by logging in to an IMAP server.
type imapProof struct {
	network, address string
	starttls         bool
	proxy            bool
	tls              *tls.Config // nil for none
	timeout          time.Duration
}

// NewIMAP makes what proves passwords. It reads the file of certificates, and does not connect.
func NewIMAP(o IMAP) (Prover, error) {
	p := &imapProof{network: "tcp", address: o.Address, starttls: o.TLS == "starttls", proxy: o.Proxy, timeout: o.Timeout}
	if path, isUnix := strings.CutPrefix(o.Address, "unix:"); isUnix {
		p.network, p.address = "unix", path
	}
	if o.TLS != "starttls" && o.TLS != "tls" {
		return p, nil
	}
	c := &tls.Config{ServerName: o.Name, MinVersion: tls.VersionTLS12, NextProtos: []string{"imap"}}
	if c.ServerName == "" && p.network == "tcp" {
		c.ServerName, _, _ = net.SplitHostPort(o.Address)
	}
	if c.ServerName == "" {
		return nil, errors.New("a unix socket has no name that a certificate could be checked against")
	}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, err
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", o.CA)
		}
	}
	p.tls = c
	return p, nil
}

// Prove logs in and out. The error is errWrongPassword if the server says so.
func (p *imapProof) Prove(ctx context.Context, client netip.Addr, address, password string) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	conn, err := p.dial(ctx, client)
	if err != nil {
		return err
	}
	defer conn.Close()
	// The client has time limits of its own, which are long: closing ends all that it waits for.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	session, err := p.begin(conn)
	if err != nil {
		return whyNot(ctx, err)
	}
	defer session.Close()
	err = session.Login(address, password).Wait()
	var answer *imap.Error
	switch {
	case err == nil:
		session.Logout().Wait() // we know what we wanted to know
		return nil
	case errors.As(err, &answer) && refusal(answer):
		return errWrongPassword
	}
	return whyNot(ctx, err)
}

// dial connects. What is read is bounded: the client reads lines of any length.
func (p *imapProof) dial(ctx context.Context, client netip.Addr) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, p.network, p.address)
	if err != nil {
		return nil, err
	}
	if p.proxy {
		if _, err := io.WriteString(conn, proxyLine(client)); err != nil {
			conn.Close()
			return nil, err
		}
	}
	bounded := &boundedConn{Conn: conn, left: imapLimit}
	if p.tls == nil || p.starttls {
		return bounded, nil
	}
	secure := tls.Client(bounded, p.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// proxyLine tells an IMAP server who logs in (the PROXY protocol of HAProxy, version 1),
// so that it slows down who fails, and not everybody who comes from here. Ports are
// made up: nobody asks for them.
func proxyLine(client netip.Addr) string {
	switch {
	case client.Is4():
		return fmt.Sprintf("PROXY TCP4 %s 127.0.0.1 1 143\r\n", client)
	case client.Is6():
		return fmt.Sprintf("PROXY TCP6 %s ::1 1 143\r\n", client)
	}
	return "PROXY UNKNOWN\r\n"
}

// begin speaks IMAP on a connection: the greeting is awaited, and TLS begun where
// that is asked for.
func (p *imapProof) begin(conn net.Conn) (*imapclient.Client, error) {
	if p.starttls {
		return imapclient.NewStartTLS(conn, &imapclient.Options{TLSConfig: p.tls})
	}
	client := imapclient.New(conn, nil)
	if err := client.WaitGreeting(); err != nil {
		client.Close()
		return nil, err
	}
	if client.State() != imap.ConnStateNotAuthenticated {
		client.Close()
		return nil, errors.New("the IMAP server asks for no password (PREAUTH): it can prove none")
	}
	return client, nil
}

// refusal reports whether an answer means that the password is not right. A code tells
// where it is something else (RFC 5530, section 3): NO [UNAVAILABLE] comes when the
// server cannot tell itself, [PRIVACYREQUIRED] when it wants TLS.
func refusal(e *imap.Error) bool {
	if e.Type != imap.StatusResponseTypeNo {
		return false
	}
	switch e.Code {
	case "", imap.ResponseCodeAuthenticationFailed, imap.ResponseCodeAuthorizationFailed,
		imap.ResponseCodeExpired, imap.ResponseCodeContactAdmin, imap.ResponseCodeNoPerm, "ALERT":
		return true
	}
	return false
}

// whyNot says that time was up where that is what ended it.
func whyNot(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("the IMAP server did not answer in time: %w", err)
	}
	return fmt.Errorf("the IMAP server: %w", err)
}

// boundedConn gives an error after so many bytes were read.
type boundedConn struct {
	net.Conn
	left int // one goroutine reads at a time
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("it says more than a log-in takes")
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}
