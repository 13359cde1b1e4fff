package unpack

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

// lines64 is base64 in lines.
func lines64(data string, length int, before, behind string) string {
	var b strings.Builder
	for text := base64.StdEncoding.EncodeToString([]byte(data)); text != ""; {
		n := min(length, len(text))
		b.WriteString(before + text[:n] + behind)
		text = text[n:]
	}
	return b.String()
}

func deflatedRaw(data string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write([]byte(data))
	w.Close()
	return b.String()
}

func TestBase64InScripts(t *testing.T) {
	program := "MZ\x90\x00\x03" + strings.Repeat("\x00program, KIYOME-MARKER", 10)
	const command = "Write-Output 'KIYOME-MARKER'; Invoke-Thing; and so on"
	wide := oneNoteWide(command)
	in := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	bin, txt := "script.bin="+program, "script.txt="+command
	table(t, []struct{ name, data, objects, unchecked string }{
		{"encoded command", "powershell -nop -w hidden -enc " + in(wide) + "\r\n", "script.txt=" + wide + "|script.txt/script.txt=" + command, ""},
		{"encoded command, whole option", "p^owershell.exe /Encoded^Command \"" + in(wide) + "\"", "script.txt=" + wide + "|script.txt/script.txt=" + command, ""},
		{"encoded command that is none", "notes -enc " + in(command), "", ""},
		{"string", "$a = [Convert]::FromBase64String('" + in(program) + "')\n[IO.File]::WriteAllBytes('a.exe', $a)", bin, ""},
		{"string in a variable", "$a = '" + in(program) + "'\n$b = [Convert]::FromBase64String($a)", bin, ""},
		{"string of any bytes", "[Convert]::FromBase64String(\"" + in(strings.Repeat("\xfc\xe8\x82\x00", 20)) + "\")", "script.bin=" + strings.Repeat("\xfc\xe8\x82\x00", 20), ""},
		{"variable in pieces", "$a = \"" + in(program)[:60] + "\"\n$a += \"" + in(program)[60:120] + "\"\n$a += \"" + in(program)[120:180] + "\"\n$a += \"" + in(program)[180:] + "\"\n[Convert]::FromBase64String($a)", bin, ""},
		{"here-string", "$a = @'\r\n" + lines64(program, 76, "", "\r\n") + "'@\r\n[Convert]::FromBase64String($a)", bin, ""},
		{"inflated", "[IO.Compression.DeflateStream][Convert]::FromBase64String('" + in(deflatedRaw(command)) + "')", txt, ""},
		{"gzip", "[Convert]::FromBase64String('" + in(string(gzipped([]byte(command)))) + "')", "script.bin=" + string(gzipped([]byte(command))) + "|script.bin/script.bin=" + command, ""},
		{"lines that are written to a file", "@echo off\r\n" + "echo " + in(program)[:64] + ">x\r\n" + lines64(program, 64, "echo ", ">>x\r\n")[len("echo >>x\r\n")+64:] + "certutil -decode x y\r\n", bin, ""},
		{"certificate", "@rem\r\n-----BEGIN CERTIFICATE-----\r\n" + lines64(program, 64, "", "\r\n") + "-----END CERTIFICATE-----\r\ncertutil -decode %0 a.exe", bin, ""},
		{"certificate in no script", "-----BEGIN CERTIFICATE-----\n" + lines64(program, 64, "", "\n") + "-----END CERTIFICATE-----\n", bin, ""},
		{"real certificate", "-----BEGIN CERTIFICATE-----\n" + lines64("\x30\x82\x03\x00\x30"+strings.Repeat("der", 50), 64, "", "\n") + "-----END CERTIFICATE-----\n", "", ""},
		{"hexadecimal", "echo " + hex.EncodeToString([]byte(program)) + " > x\r\ncertutil -decodehex x y", bin, ""},
		{"for Unix", "#!/bin/sh\nbase64 -d <<E >x\n" + lines64(program, 76, "", "\n") + "E\n", bin, ""},
		{"junk in front", "powershell\n" + strings.Repeat("A", 76) + "\n" + lines64(program, 76, "", "\n"), bin, ""},
		{"lines of different lengths", "powershell " + in(program)[:100] + "\n" + in(program)[100:150] + "\n" + in(program)[150:], bin, ""},
		{"attachment", lines64(program, 76, "", "\r\n"), "", ""},
		{"attachment of a message", "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines64(program, 76, "", "\r\n"), "", ""},
		{"picture", "powershell '" + in("\x89PNG\r\n\x1a\n"+program) + "'", "", ""},
		{"token", "powershell with a token: " + in(strings.Repeat("\x81\x02\xfe\x93", 20)), "", ""},
		{"path", "powershell /usr/share/doc/package/examples/and/one/more/directory/of/a/long/path/file", "", ""},
		{"short", "powershell -enc " + in(oneNoteWide("dir c:")), "", ""},
	})
}

func TestBase64InManyPlaces(t *testing.T) {
	program := base64.StdEncoding.EncodeToString([]byte("MZ" + strings.Repeat("program ", 10)))
	var b strings.Builder
	b.WriteString("powershell deflatestream\n")
	for range 3000 {
		b.WriteString("'" + program + "' " + strings.Repeat("and something else ", 10) + "'" + strings.Repeat("/", 50) + "'\n")
	}
	n := walked(t, Limits{}, "f", []byte(b.String()))
	if len(n.objects) != 2 {
		t.Errorf("%d objects, want the same file once", len(n.objects))
	}
}

// Texts that are no scripts are searched as fast as they are read.
func BenchmarkBase64Match(b *testing.B) {
	for _, tt := range []struct{ name, text string }{
		{"prose", benchText()},
		{"attachment", strings.Repeat(strings.Repeat("TVqQ", 19)+"\r\n", 100_000)},
		{"addresses", strings.Repeat(`<a href="https://example.com/`+strings.Repeat("Ab3", 30)+`">text of a link</a> `, 50_000)},
		{"video", strings.Repeat("\x00\x01\x02\x03\xff\x80", 1<<20)},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.SetBytes(int64(len(tt.text)))
			for b.Loop() {
				if base64Match([]byte(tt.text)) {
					b.Fatal("matches")
				}
			}
		})
	}
}

func FuzzBase64InScripts(f *testing.F) {
	f.Add([]byte("powershell -enc " + base64.StdEncoding.EncodeToString([]byte(oneNoteWide("Write-Output 'KIYOME-MARKER'")))))
	f.Add([]byte("certutil deflatestream '" + base64.StdEncoding.EncodeToString([]byte(deflatedRaw(benchText()[:1000]))) + "'"))
	fuzz(f, "base64")
}
