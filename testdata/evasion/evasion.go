// Package evasion makes messages that hide a file: a reader that reads in one way
// sees nothing, and some mail program that reads in another shows it.
//
// Each Case is one technique. It is built around a Payload, of which there are
// three: one that a rule for a marker finds, the test virus, and a clean one of the
// same length. So every technique gives two messages in which something has to be
// found and one in which nothing may be found. Wild gives clean messages as real
// senders write them.
//
// Everything is made when it is asked for, the same at every call, and nothing in
// this folder alarms a virus scanner. Only tests import the package.
package evasion

import (
	"archive/zip"
	"bytes"
	"slices"

	"kiyome/testdata"
)

// How much a Case proves, from what must be found to what may be missed.
const (
	Core     = "core"     // valid, or a mail program is known that shows the file, or a plain container
	Edge     = "edge"     // malformed, but lenient readers show the file
	Hard     = "hard"     // a script has to be understood, or a key found
	Doubtful = "doubtful" // hardly a mail program is known that shows the file
)

// Case is a technique.
type Case struct {
	Family, Name string
	Level        string
	Text         bool // only text can be hidden so: a zipped payload would not survive
	Build        func(Payload) []byte
}

// Payload is the file to hide.
type Payload struct {
	Content []byte
	Zipped  bool // Content is a zip with the file in it: one wrong byte, and nothing is found
}

// MarkerText stands in the payload of Marker.
const MarkerText = "KIYOME-MARKER"

// size is that of the test virus, and so of every payload.
const size = 68

// text fills a payload up to its size.
func text(word string) []byte {
	return append([]byte("What is told of this file is "+word+", and then no more"), "........................"...)[:size]
}

// Marker is a payload with MarkerText in it.
func Marker() Payload { return Payload{Content: text(MarkerText)} }

// EICAR is the test virus.
func EICAR() Payload { return Payload{Content: testdata.EICAR()} }

// Clean is a payload of the same length in which there is nothing to find.
func Clean() Payload { return Payload{Content: text("KIYOME-NOBODY")} }

// InZip is the payload as a zip.
func (p Payload) InZip() Payload { return Payload{Content: p.zip(), Zipped: true} }

// zip packs the payload.
func (p Payload) zip() []byte { return zipOf(p.file(), p.Content) }

// zipOf packs one file.
func zipOf(name string, content []byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w := must(z.Create(name))
	must(w.Write(content))
	check(z.Close())
	return b.Bytes()
}

// file is the name that a mail program shows.
func (p Payload) file() string {
	if p.Zipped {
		return "invoice.zip"
	}
	return "invoice.com"
}

// Cases gives every technique, family by family.
func Cases() []Case {
	return slices.Concat(
		baseline(), encodingField(), base64Body(), quotedBody(), boundaries(), types(), headers(), lineEnds(),
		structure(), messages(), uuencoded(), yencoded(), binhexed(), openPGP(), htmls(), wrappers(), smime(),
		zips(), passwords(), archives(), names(), abuse(),
	)
}

// family collects the cases of one family.
type family struct {
	name  string
	cases []Case
}

// add adds a technique.
func (f *family) add(level, name string, build func(Payload) []byte) {
	f.cases = append(f.cases, Case{Family: f.name, Name: name, Level: level, Build: build})
}

// addText adds a technique that hides text only.
func (f *family) addText(level, name string, build func(Payload) []byte) {
	f.cases = append(f.cases, Case{Family: f.name, Name: name, Level: level, Text: true, Build: build})
}

// must is for what writes to memory, and cannot fail.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
