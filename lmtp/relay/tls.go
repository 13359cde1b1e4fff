package relay

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

// Policy is what is asked of TLS, in Postfix's words.
type Policy string

// The policies.
const (
	None    Policy = "none"    // never
	May     Policy = "may"     // where it is offered and the next hop is another machine; certificates are not checked
	Require Policy = "require" // always, with a certificate that is checked
)

// TLS says how the connection is protected. The zero value is None.
type TLS struct {
	Policy    Policy
	CA        string // file of the certificates that sign the next hop's; "": those of the system
	Name      string // that its certificate must have; "": the host of the address
	Cert, Key string // files of a certificate of ours; "": none
}

// tlsConfig is what connect needs of it.
type tlsConfig struct {
	policy Policy
	config *tls.Config
}

// load reads the files.
func (t TLS) load(address string) (*tlsConfig, error) {
	host, _, _ := net.SplitHostPort(address)
	local := isLoopback(host)
	if strings.HasPrefix(address, "unix:") {
		host, local = "", true
	}
	if t.Policy == "" || t.Policy == None || t.Policy == May && local {
		return &tlsConfig{policy: None}, nil
	}
	c := &tls.Config{ServerName: t.Name, MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.Policy == May}
	if c.ServerName == "" {
		c.ServerName = host
	}
	if c.ServerName == "" && t.Policy == Require {
		return nil, errors.New("a unix socket has no name that a certificate could be checked against")
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, err
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return &tlsConfig{t.Policy, c}, nil
}

// isLoopback reports whether a host is this machine itself.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}
