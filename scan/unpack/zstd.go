package unpack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"
)

// zstdOpener opens Zstandard files (RFC 8878). All frames of a file are one object,
// as zstd makes of them. What follows the last one is no part of it.
var zstdOpener = opener{name: "zstd", match: zstdMatch, entries: zstdEntries}

const zstdMagic = "\x28\xb5\x2f\xfd"

// maxSkipped is how many skippable frames may come before the first other one, for
// match to look behind them.
const maxSkipped = 64

func zstdMatch(data []byte) bool {
	return bytes.HasPrefix(skipFrames(data, maxSkipped), []byte(zstdMagic))
}

func zstdEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		z := &zstdReader{memory: f.memory}
		defer z.release()
		m := member{name: nameLess(f.Name, ".zst", "", ".tzst", ".tar")}
		m.body = &frameReader{data: f.Data, file: f, open: z.open, magic: []byte(zstdMagic)}
		yield(m, nil)
	}
}

// zstdReader opens one frame after the other.
type zstdReader struct {
	memory  *memory
	window  int64 // that has been taken
	decoder *zstd.Decoder
	frame   []byte // the present one; nil when it is not at hand
	passed  int64  // bytes of it that have been handed out
	wrong   error  // its checksum is
}

// open opens the frame at the beginning of rest.
func (z *zstdReader) open(rest []byte) (io.Reader, int, error) {
	if !bytes.HasPrefix(rest, []byte(zstdMagic)) {
		return nil, 0, nil
	}
	var h zstd.Header
	if err := h.Decode(rest); err == io.ErrUnexpectedEOF {
		return nil, 0, errShort
	} else if err != nil {
		return nil, 0, err
	}
	if h.DictionaryID != 0 {
		return nil, 0, fmt.Errorf("%w: dictionary", ErrUnsupported)
	}
	size, whole := zstdSize(rest, h)
	if err := z.prepare(h); err != nil {
		return nil, 0, err
	}
	z.frame, z.passed, z.wrong = rest[:size], 0, nil
	if err := z.decoder.ResetWithOptions(bytes.NewReader(z.frame), zstd.IgnoreChecksum(false)); err != nil {
		return nil, 0, err
	}
	if !whole {
		return z, size, errShort
	}
	return z, size, nil
}

// prepare sees to the window that a frame needs.
func (z *zstdReader) prepare(h zstd.Header) (err error) {
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	if more := int64(min(window, maxWindow+1)) - z.window; more > 0 {
		if err := z.memory.take(more); err != nil {
			return err
		}
		z.window += more
	}
	if z.decoder == nil {
		// Not concurrent: it has no goroutines then.
		z.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	}
	return err
}

// Read implements io.Reader.
func (z *zstdReader) Read(p []byte) (int, error) {
	n, err := contained{z.decoder}.Read(p)
	if errors.Is(err, zstd.ErrCRCMismatch) && n == 0 && z.frame != nil && z.wrong == nil {
		z.wrong = err
		if err = z.anew(); err == nil {
			n, err = contained{z.decoder}.Read(p)
		}
	}
	z.passed += int64(n)
	switch {
	case err == io.EOF && z.wrong != nil:
		err = z.wrong
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		err = &LimitError{"memory"}
	case err == io.ErrUnexpectedEOF:
		err = errShort
	}
	return n, err
}

// anew begins again on a frame whose checksum is wrong, without looking at it: the
// decoder holds back the last block.
func (z *zstdReader) anew() error {
	if err := z.decoder.ResetWithOptions(bytes.NewReader(z.frame), zstd.IgnoreChecksum(true)); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, contained{z.decoder}, z.passed)
	return err
}

// release gives the window back.
func (z *zstdReader) release() {
	if z.decoder != nil {
		z.decoder.Close()
	}
	z.memory.give(z.window)
	z.window = 0
}

// zstdSize gives the length of a frame (section 3.1.1), and whether it is all there.
func zstdSize(b []byte, h zstd.Header) (size int, whole bool) {
	at := h.HeaderSize
	for last := false; !last; {
		if at+3 > len(b) {
			return len(b), false
		}
		head := int(b[at]) | int(b[at+1])<<8 | int(b[at+2])<<16
		last = head&1 == 1
		n := head >> 3
		if head>>1&3 == 1 { // one byte, again and again
			n = 1
		}
		at += 3 + n
	}
	if h.HasCheckSum {
		at += 4
	}
	return min(at, len(b)), at <= len(b)
}
