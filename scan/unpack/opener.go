package unpack

import (
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/klauspost/compress/flate"
)

// openers lists every format that the package opens. An object is tried against
// all of them: one that is two formats at once is opened as both.
var openers = [...]opener{
	zipOpener,
	rarOpener,
	sevenZipOpener,
	gzipOpener,
	bzip2Opener,
	xzOpener,
	lzmaOpener,
	lzipOpener,
	zstdOpener,
	lz4Opener,
	tarOpener,
	mboxOpener,
	charsetOpener,
	cdSectorsOpener,
	isoOpener,
	zisofsOpener,
	udfOpener,
	fatOpener,
	ntfsOpener,
	extOpener,
	hfsOpener,
	partitionOpener,
	compressOpener,
	arcOpener,
	zooOpener,
	nsisOpener,
	makeselfOpener,
	sharOpener,
	arOpener,
	cpioOpener,
	rpmOpener,
	yencOpener,
	binhexOpener,
	macbinaryOpener,
	appleSingleOpener,
	szddOpener,
	kwajOpener,
	mmsOpener,
	cmsOpener,
	lhaOpener,
	arjOpener,
	aceOpener,
	oleOpener,
	cabOpener,
	vhdOpener,
	vhdxOpener,
	vmdkOpener,
	qcow2Opener,
	dmgOpener,
	wimOpener,
	activeMimeOpener,
	swfOpener,
	chmOpener,
	oneNoteOpener,
	lnkOpener,
	tnefOpener,
	rtfOpener,
	htmlOpener,
	scriptEncoderOpener,
	base64Opener,
	vcardOpener,
	pgpOpener,
	pdfOpener,
	closedOpener,
	zlibOpener,
	behindOpener,
	brotliOpener,
}

// opener opens one container format. It keeps nothing between two containers
// and sees to none of the walk's limits.
type opener struct {
	name string

	// match reports whether data looks like this format, be it damaged. It
	// decides by content and in time linear in len(data).
	match func(data []byte) bool

	// entries unpacks f one member at a time, in the order that makes sense for
	// the format. A member's body is read before the next member is asked for,
	// to its end unless the walk stops. A member may come with an error: what
	// there is of its bytes is handed out, then the error is told. An error
	// without a member's name is about the container. Every error wraps one of
	// the package's reasons.
	//
	// Where a format keeps bytes as they are, but in pieces, the opener says by
	// File.read what it has read: see whole.go.
	entries func(f File) iter.Seq2[member, error]

	// last says that the opener is for what none before it in the list knows.
	last bool

	// ends reports whether data end as the format does, for one that programs look for
	// at the end of a file: then it is one, whatever else has been read of it. May be nil.
	ends func(data []byte) bool
}

// member is one object in a container.
type member struct {
	name string // decoded to UTF-8

	// data are the member's bytes where they stand in the container as they
	// are, and nothing has to be unpacked. Else body gives them. Neither: the
	// member could not be read at all.
	data []byte

	// body unpacks the member. An error but io.EOF says what was wrong with the
	// bytes before it, which are handed out all the same; only with ErrEncrypted
	// they are not, being noise.
	body io.Reader

	// holes says that body's zeros, long runs of them, stand nowhere in the container.
	holes bool

	// size is how many bytes body is said to have: a hint that is never trusted.
	size int64
}

// nameLess gives the name that remains when a compressor's ending is taken off a
// file's name: pairs are an ending, in lower case, and what stands in its place.
func nameLess(name string, pairs ...string) string {
	lower := strings.ToLower(name)
	if len(lower) != len(name) { // some letters change length with their case
		return name
	}
	for pair := range slices.Chunk(pairs, 2) {
		if strings.HasSuffix(lower, pair[0]) && len(name) > len(pair[0]) {
			return name[:len(name)-len(pair[0])] + pair[1]
		}
	}
	return name
}

// flateReader is what flate.NewReader makes: a reader for one member after the other.
type flateReader interface {
	io.Reader
	flate.Resetter
}
