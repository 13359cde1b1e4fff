package main_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"kiyome/testdata"
)

// TestDKIMIsSignedBehindTheFilter: with the signing milter where the README has it,
// what goes outside verifies, cleaned or not.
func TestDKIMIsSignedBehindTheFilter(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Postfix, Dovecot and OpenDKIM")
	}
	if _, err := exec.LookPath("opendkim"); err != nil {
		t.Skip("needs opendkim: make deps installs it")
	}
	h := newHouse(t)
	h.Milter = freePort(t)
	h.write("master.cf", "postfix/etc/master.cf", h)
	record := h.startOpenDKIM()
	h.account("add", "taro@example.jp")
	h.account("subscribe", "taro@example.jp", "outbound")
	h.startAll()
	for i, name := range []string{"clean", "attachment", "body"} {
		if err := h.submit("taro@example.jp", "", []string{"to@outside.example"}, testdata.MustMail(name)); err != nil {
			t.Fatal(err)
		}
		got := h.outside.await(t, i+1)[i]
		if strings.Contains(got.data, string(testdata.EICAR())) {
			t.Errorf("%s: it carries malware", name)
		}
		verified, err := dkim.VerifyWithOptions(strings.NewReader(got.data), &dkim.VerifyOptions{
			LookupTXT: func(string) ([]string, error) { return []string{record}, nil },
		})
		if err != nil || len(verified) != 1 || verified[0].Err != nil {
			t.Errorf("%s: %v, %+v\n%.2000s", name, err, verified, got.data)
		}
	}
}

// startOpenDKIM starts the milter, and gives the record by which its signatures verify.
func (h *house) startOpenDKIM() (record string) {
	h.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		h.t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		h.t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(filepath.Join(h.Dir, "dkim.pem"), private, 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.write("opendkim.conf", "opendkim.conf", h)
	cmd := exec.Command("opendkim", "-f", "-x", filepath.Join(h.Dir, "opendkim.conf"))
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	awaitPort(h.t, h.Milter)
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
}
