package scan

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"kiyome/testdata"
)

// entity writes a message or a part: its header fields, an empty line, a body.
func entity(body string, fields ...string) string {
	return strings.Join(fields, "\r\n") + "\r\n\r\n" + body
}

// multipart writes a multipart of parts, with boundary b.
func multipart(kind, b string, parts ...string) string {
	var s strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&s, "--%s\r\n%s\r\n", b, p)
	}
	fmt.Fprintf(&s, "--%s--\r\n", b)
	return entity(s.String(), fmt.Sprintf("Content-Type: multipart/%s; boundary=%q", kind, b))
}

// mail writes a whole message of a part.
func mail(part string) string {
	return "From: hanako@example.com\r\nSubject: test\r\nMIME-Version: 1.0\r\n" + part
}

// attach writes an attachment in base64.
func attach(name, content string) string {
	return entity(base64Lines(content), "Content-Type: application/octet-stream",
		"Content-Transfer-Encoding: base64", fmt.Sprintf("Content-Disposition: attachment; filename=%q", name))
}

func base64Lines(content string) string {
	var b strings.Builder
	for text := base64.StdEncoding.EncodeToString([]byte(content)); text != ""; {
		n := min(len(text), 76)
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	return b.String()
}

func text(body string) string { return entity(body, "Content-Type: text/plain") }

func html(body string) string { return entity(body, "Content-Type: text/html") }

// attached writes a message as a part of another.
func attached(message string) string {
	return entity(message, "Content-Type: message/rfc822", `Content-Disposition: attachment; filename="forwarded.eml"`)
}

// zipOf packs files, each a name and its content.
func zipOf(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// locked marks every entry of a zip as encrypted, and makes noise of its data.
func locked(zipped string) string {
	b := []byte(zipped)
	for at := range b {
		switch {
		case bytes.HasPrefix(b[at:], []byte("PK\x03\x04")):
			b[at+6] |= 1 // APPNOTE 4.4.4
			data := b[at+30+int(b[at+26]):]
			for i := range 16 {
				data[i] ^= byte(0xA5 + 7*i)
			}
		case bytes.HasPrefix(b[at:], []byte("PK\x01\x02")):
			b[at+8] |= 1
		}
	}
	return string(b)
}

func TestOutcomes(t *testing.T) {
	virus := string(testdata.EICAR())
	hello := text("Hello.\r\n")
	bad := attach("bad.exe", virus)
	good := attach("good.txt", "good")
	uu := strings.ReplaceAll(testdata.Uuencode("bad.exe", virus), "\n", "\r\n") + "\r\n"
	e := testEngine(t, Options{})
	for _, tt := range []struct {
		name    string
		message string
		outcome Outcome
		why     string
		cut     []string // what is in the cut; the rest must hold none of it
		keep    []string // what must stay
	}{
		{"no finding", mail(multipart("mixed", "b", hello, good)), Clean, "", nil, nil},
		{"attachment", mail(multipart("mixed", "b", hello, bad, good)), Cleaned, "", []string{"bad.exe"}, []string{"Hello.", "good.txt"}},
		{"first part", mail(multipart("mixed", "b", bad, hello)), Cleaned, "", []string{"bad.exe"}, []string{"Hello."}},
		{"two attachments side by side", mail(multipart("mixed", "b", hello, bad, attach("worse.exe", virus), good)), Cleaned, "", []string{"bad.exe", "worse.exe"}, []string{"good.txt"}},
		{"body", mail(text(virus)), ReportOnly, whyBody, nil, nil},
		{"body and attachment", mail(multipart("mixed", "b", text(virus), bad)), ReportOnly, whyBody, nil, nil},
		{"body in HTML only", mail(multipart("alternative", "b", hello, html("<p>"+virus))), ReportOnly, whyBody, nil, nil},
		{"body in quoted-printable", mail(entity(strings.ReplaceAll(virus, "!", "=21"), "Content-Type: text/plain", "Content-Transfer-Encoding: quoted-printable")), ReportOnly, whyBody, nil, nil},
		{"the attachment is all there is", mail(attach("bad.exe", virus)), ReportOnly, whyAll, nil, nil},
		{"all in a multipart", mail(multipart("mixed", "b", bad)), ReportOnly, whyAll, nil, nil},
		{"all attachments, no text", mail(multipart("mixed", "b", bad, bad)), ReportOnly, whyAll, nil, nil},
		{"a blank text and the attachment", mail(multipart("mixed", "b", text(" \r\n\r\n"), bad)), ReportOnly, whyAll, nil, nil},
		{"a blank HTML text and the attachment", mail(multipart("mixed", "b",
			multipart("alternative", "c", text("\r\n"), html("<html><head><title>x</title></head><body><br>&nbsp;</body></html>")), bad)), ReportOnly, whyAll, nil, nil},
		{"a blank text, a clean attachment and another", mail(multipart("mixed", "b", text("\r\n"), bad, good)), Cleaned, "", []string{"bad.exe"}, []string{"good.txt"}},
		{"before the parts", mail(entity(virus+"\r\n--b\r\n"+hello+"\r\n--b--\r\n", `Content-Type: multipart/mixed; boundary="b"`)), ReportOnly, whyExtra, nil, nil},
		{"after the parts", mail(multipart("mixed", "b", hello) + virus + "\r\n"), ReportOnly, whyExtra, nil, nil},
		{"uuencoded after the parts", mail(multipart("mixed", "b", hello) + uu), ReportOnly, whyExtra, nil, nil},
		{"attachment of an attached message", mail(multipart("mixed", "b", hello,
			attached(mail(multipart("mixed", "c", text("inner text\r\n"), bad))))), Cleaned, "", []string{"bad.exe"}, []string{"Hello.", "inner text", "forwarded.eml"}},
		{"body of an attached message", mail(multipart("mixed", "b", hello, attached(mail(text(virus))))), Cleaned, "", []string{"forwarded.eml"}, []string{"Hello."}},
		{"all of an attached message", mail(multipart("mixed", "b", hello,
			attached(mail(attach("bad.exe", virus))))), Cleaned, "", []string{"forwarded.eml"}, []string{"Hello."}},
		{"all of an attached message but blanks", mail(multipart("mixed", "b", hello,
			attached(mail(multipart("mixed", "c", text("\r\n"), bad))))), Cleaned, "", []string{"forwarded.eml"}, []string{"Hello."}},
		{"all of an attached message in an attached message", mail(multipart("mixed", "b", hello,
			attached(mail(multipart("mixed", "c", text("between\r\n"), attached(mail(attach("bad.exe", virus)))))))),
			Cleaned, "", []string{"bad.exe"}, []string{"Hello.", "between"}},
		{"the message is an attached message, its body infected", mail(attached(mail(text(virus)))), ReportOnly, whyAll, nil, nil},
		{"encoded attached message", mail(multipart("mixed", "b", hello,
			entity(base64Lines(mail(multipart("mixed", "c", text("inner text"), bad))), "Content-Type: message/rfc822", "Content-Transfer-Encoding: base64", `Content-Disposition: attachment; filename="forwarded.eml"`))),
			Cleaned, "", []string{"forwarded.eml"}, []string{"Hello."}},
		{"message under another label", mail(multipart("mixed", "b", hello,
			attach("letter.dat", mail(multipart("mixed", "c", text("inner text"), bad))))), Cleaned, "", []string{"letter.dat"}, []string{"Hello."}},
		{"uuencoded block", mail(text("Before.\r\n" + uu + "After.\r\n")), Cleaned, "", []string{"begin 644 bad.exe"}, []string{"Before.", "After."}},
		{"uuencoded block alone", mail(text(uu)), ReportOnly, whyAll, nil, nil},
		{"uuencoded blocks, one of them clean", mail(text("Before.\r\n" + uu + strings.ReplaceAll(testdata.Uuencode("good.txt", "good"), "\n", "\r\n") + "\r\n")), Cleaned, "", []string{"begin 644 bad.exe"}, []string{"Before.", "begin 644 good.txt"}},
		{"zip", mail(multipart("mixed", "b", hello, attach("bad.zip", zipOf(t, "a.txt", "fine", "bad.exe", virus)))), Cleaned, "", []string{"bad.zip"}, []string{"Hello."}},
		{"zip in a zip", mail(multipart("mixed", "b", hello, attach("bad.zip", zipOf(t, "in.zip", zipOf(t, "bad.exe", virus))))), Cleaned, "", []string{"bad.zip"}, []string{"Hello."}},
		{"message in a zip", mail(multipart("mixed", "b", hello, attach("bad.zip", zipOf(t, "a.eml", mail(multipart("mixed", "c", hello, bad)))))), Cleaned, "", []string{"bad.zip"}, []string{"Hello."}},
		{"picture of an HTML text", mail(multipart("related", "b", html("<p>Hello.<img src=cid:a>"), attach("bad.jpg", virus))), Cleaned, "", []string{"bad.jpg"}, []string{"Hello."}},
		{"the only child of an inner multipart", mail(multipart("mixed", "b", hello, multipart("mixed", "c", bad))), Cleaned, "", []string{"--c--", "bad.exe"}, []string{"Hello."}},
		{"no closing delimiter", mail(strings.TrimSuffix(multipart("mixed", "b", hello, bad), "--b--\r\n")), Cleaned, "", []string{"bad.exe"}, []string{"Hello."}},
		{"signed content and its signature", mail(multipart("signed", "b", bad, entity("x", "Content-Type: application/pgp-signature"))), ReportOnly, whyAll, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := []byte(tt.message)
			v := run(t, e, raw)
			if v.Outcome != tt.outcome || v.Why != tt.why {
				t.Fatalf("got %q, %q; want %q, %q\n%s", v.Outcome, v.Why, tt.outcome, tt.why, describe(raw, v))
			}
			if (len(v.Findings) > 0) != (tt.outcome != Clean) || (len(v.Cut) > 0) != (tt.outcome == Cleaned) {
				t.Errorf("verdict: %s", describe(raw, v))
			}
			for i, c := range v.Cut[min(1, len(v.Cut)):] {
				if c.Start <= v.Cut[i].End {
					t.Errorf("cuts that touch are one: %v", v.Cut)
				}
			}
			var gone, rest []byte
			for _, c := range v.Cut {
				gone = append(gone, raw[c.Start:c.End]...)
			}
			for _, k := range Keep(int64(len(raw)), v.Cut) {
				rest = append(rest, raw[k.Start:k.End]...)
			}
			for _, s := range tt.cut {
				if !bytes.Contains(gone, []byte(s)) || bytes.Contains(rest, []byte(s)) {
					t.Errorf("%q was not cut:\n%s", s, describe(raw, v))
				}
			}
			for _, s := range tt.keep {
				if !bytes.Contains(rest, []byte(s)) {
					t.Errorf("%q is gone:\n%s", s, describe(raw, v))
				}
			}
			if tt.outcome == Cleaned {
				if again := run(t, e, rest); again.Outcome != Clean {
					t.Errorf("what remains is %s", describe(rest, again))
				}
			}
		})
	}
}

func TestFindingsSayWhatAndWhere(t *testing.T) {
	virus := string(testdata.EICAR())
	e := testEngine(t, Options{})
	for _, tt := range []struct {
		name    string
		message string
		want    Finding // name, path, part, body
	}{
		{"attachment", mail(multipart("mixed", "b", text("Hello."), attach("bad.exe", virus))), Finding{Name: "bad.exe", Part: "2"}},
		{"body", mail(text(virus)), Finding{Body: true}},
		{"body of two", mail(multipart("mixed", "b", text(virus), attach("good.txt", "good"))), Finding{Part: "1", Body: true}},
		{"uuencoded", mail(text("Hello.\r\n" + strings.ReplaceAll(testdata.Uuencode("bad.exe", virus), "\n", "\r\n"))), Finding{Name: "bad.exe"}},
		{"zip", mail(multipart("mixed", "b", text("Hello."), attach("a.zip", zipOf(t, "b.zip", zipOf(t, "bad.exe", virus))))),
			Finding{Name: "a.zip", Part: "2", Path: []string{"a.zip", "b.zip", "bad.exe"}}},
		{"attached", mail(multipart("mixed", "b", text("Hello."), attached(mail(multipart("mixed", "c", text("Hi."), attach("bad.exe", virus)))))),
			Finding{Name: "bad.exe", Part: "2.2"}},
		{"body of an attached message", mail(multipart("mixed", "b", text("Hello."), attached(mail(text(virus))))),
			Finding{Name: "forwarded.eml", Part: "2.1"}},
		{"body of an attached message without a name", mail(multipart("mixed", "b", text("Hello."), entity(mail(text(virus)), "Content-Type: message/rfc822"))),
			Finding{Name: "test", Part: "2.1"}},
		{"encoded attached message", mail(multipart("mixed", "b", text("Hello."), attach("a.eml", mail(multipart("mixed", "c", text("Hi."), attach("bad.exe", virus)))))),
			Finding{Name: "a.eml", Part: "2", Path: []string{"a.eml", "bad.exe"}}},
		{"body of an encoded attached message", mail(multipart("mixed", "b", text("Hello."), attach("a.eml", mail(html(virus))))),
			Finding{Name: "a.eml", Part: "2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := run(t, e, []byte(tt.message))
			if len(v.Findings) == 0 {
				t.Fatal("no finding")
			}
			f := v.Findings[0]
			if f.Name != tt.want.Name || f.Part != tt.want.Part || f.Body != tt.want.Body || tt.want.Path != nil && fmt.Sprint(f.Path) != fmt.Sprint(tt.want.Path) {
				t.Errorf("got %+v, want %+v", f, tt.want)
			}
			if f.Malware != "EICAR-Test" || f.Rule == "" || len(f.SHA256) != 64 {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestSignaturesThatACutBreaksAreTold(t *testing.T) {
	virus := string(testdata.EICAR())
	content := multipart("mixed", "b", text("Hello."), attach("bad.exe", virus))
	signature := entity("x", "Content-Type: application/pgp-signature")
	e := testEngine(t, Options{})
	for _, tt := range []struct {
		name    string
		message string
		want    bool
	}{
		{"none", mail(content), false},
		{"DKIM", "DKIM-Signature: v=1; a=rsa-sha256\r\n" + mail(content), true},
		{"signed", mail(multipart("signed", "s", content, signature)), true},
		{"signed beside it", mail(multipart("mixed", "m", multipart("signed", "s", text("Hello."), signature), attach("bad.exe", virus))), false},
		{"DKIM on an attached message that stays", mail(multipart("mixed", "m", text("Hello."), attached("DKIM-Signature: v=1\r\n"+mail(content)))), true},
		{"DKIM on an attached message that goes", mail(multipart("mixed", "m", text("Hello."), attached("DKIM-Signature: v=1\r\n"+mail(text(virus))))), false},
		{"uuencoded block", "DKIM-Signature: v=1\r\n" + mail(text("Hello.\r\n"+strings.ReplaceAll(testdata.Uuencode("bad.exe", virus), "\n", "\r\n"))), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := run(t, e, []byte(tt.message))
			if v.Outcome != Cleaned || v.Signed != tt.want {
				t.Errorf("outcome %q (%s), signed %v; want %v", v.Outcome, v.Why, v.Signed, tt.want)
			}
		})
	}
}

func TestPolicyDecidesOnWhatWasNotRead(t *testing.T) {
	zipped := zipOf(t, "secret.txt", "a secret of some length")
	encrypted := mail(multipart("mixed", "b", text("Hello."), attach("secret.zip", locked(zipped))))
	damaged := mail(multipart("mixed", "b", text("Hello."), attach("bad.zip", zipped[:len(zipped)-30])))
	closed := mail(multipart("mixed", "b", text("Hello."), attach("a.amg", "\xad6\"\x01\x00")))
	deep := text("Hello.")
	for range 8 {
		deep = multipart("mixed", "b", deep)
	}
	for _, tt := range []struct {
		name    string
		message string
		policy  Policy
		outcome Outcome
		reason  string
	}{
		{"encrypted, delivered", encrypted, Policy{}, Clean, "encrypted"},
		{"encrypted, the other policy", encrypted, Policy{Encrypted: "deliver", Unchecked: "cut"}, Clean, "encrypted"},
		{"encrypted, cut", encrypted, Policy{Encrypted: "cut"}, Cleaned, "encrypted"},
		{"closed archive, delivered", closed, Policy{}, Clean, "closed archive"},
		{"closed archive, the other policy", closed, Policy{Encrypted: "deliver", Unchecked: "cut"}, Clean, "closed archive"},
		{"closed archive, cut", closed, Policy{Encrypted: "cut", Unchecked: "deliver"}, Cleaned, "closed archive"},
		{"damaged, delivered", damaged, Policy{}, Clean, "damaged"},
		{"damaged, cut", damaged, Policy{Unchecked: "cut"}, Cleaned, "damaged"},
		{"encrypted and all there is, cut", mail(attach("secret.zip", locked(zipped))), Policy{Encrypted: "cut"}, ReportOnly, "encrypted"},
		{"as a whole, delivered", mail(deep), Policy{}, Clean, "limit: depth"},
		{"as a whole, cut", mail(deep), Policy{Unchecked: "cut"}, ReportOnly, "limit: depth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Policy: tt.policy}
			o.Limits.MIME.Depth = 5
			v := run(t, testEngine(t, o), []byte(tt.message))
			if v.Outcome != tt.outcome {
				t.Fatalf("got %s", describe([]byte(tt.message), v))
			}
			if tt.outcome == Clean {
				if len(v.Unchecked) == 0 || v.Unchecked[0].Reason != tt.reason || len(v.Findings) > 0 {
					t.Errorf("got %s", describe([]byte(tt.message), v))
				}
				return
			}
			if len(v.Findings) == 0 || v.Findings[0].Policy != tt.reason || v.Findings[0].Malware != policyName(tt.reason) || len(v.Unchecked) > 0 {
				t.Errorf("got %s", describe([]byte(tt.message), v))
			}
		})
	}
}

func TestPolicyNames(t *testing.T) {
	for _, tt := range []struct{ reason, want string }{
		{"encrypted", "Policy.Encrypted"},
		{"closed archive", "Policy.ClosedArchive"},
		{"limit: time", "Policy.Limit"},
		{"scan error", "Policy.ScanError"},
		{"worker", "Policy.Worker"},
	} {
		if got := policyName(tt.reason); got != tt.want {
			t.Errorf("policyName(%q) = %q, want %q", tt.reason, got, tt.want)
		}
	}
}
