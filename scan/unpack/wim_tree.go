package unpack

import (
	"cmp"
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// Entries of folders (DIRENTRY) and of their further streams (STREAMENTRY).
const (
	wimDirSize    = 102
	wimDirHash    = 64
	wimStreamSize = 38
	wimStreamHash = 16
	wimEncrypted  = 1 << 14 // FILE_ATTRIBUTE_ENCRYPTED

	// wimNames bounds the bytes of names that are kept.
	wimNames = 32 << 20
)

// tree reads what an image tells of its files.
func (w *wim) tree(res wimResource) error {
	b, err := w.whole(res, wimTrees-w.told)
	w.told += int64(len(b)) + wimDirSize
	if len(b) < 8 {
		return cmp.Or(err, errShort)
	}
	// Security data first: its length, rounded up.
	t := &wimTree{wim: w, data: b, left: len(b)/wimDirSize + 1}
	t.folder((max(int64(binary.LittleEndian.Uint32(b)), 8)+7)&^7, "")
	for len(t.folders) > 0 && t.err == nil {
		last := t.folders[len(t.folders)-1]
		t.folders = t.folders[:len(t.folders)-1]
		t.folder(last.at, last.path)
	}
	if err == nil {
		err = t.err
	}
	return err
}

// wimTree goes through the folders of an image.
type wimTree struct {
	*wim
	data    []byte
	left    int // entries that there can still be
	folders []wimFolder
	err     error
}

type wimFolder struct {
	at   int64
	path string
}

// folder reads the entries of a folder. One of no length is the last.
func (t *wimTree) folder(at int64, path string) {
	for t.err == nil {
		if at < 0 || at > int64(len(t.data))-8 {
			t.err = errShort
			return
		}
		b := t.data[at:]
		n := int64(binary.LittleEndian.Uint64(b))
		if n >= 0 && n <= 8 {
			return
		}
		if t.left--; n < wimDirSize || n > int64(len(b)) || t.left < 0 {
			t.err = errDisk("entry of a folder")
			return
		}
		at += t.entry(b, (n+7)&^7, path)
	}
}

// entry reads an entry of a length. It returns where the next one is, behind the
// streams of this one.
func (t *wimTree) entry(b []byte, n int64, path string) int64 {
	le := binary.LittleEndian
	attributes, below, streams := le.Uint32(b[8:]), int64(le.Uint64(b[16:])), int(le.Uint16(b[96:]))
	name := wimText(b[wimDirSize:], le.Uint16(b[100:]))
	if path != "" {
		name = cutName(path + "/" + name)
	}
	t.name(wimHash(b[wimDirHash:wimDirHash+20]), name, attributes)
	for range streams {
		if n > int64(len(b))-wimStreamSize {
			t.err = errShort
			return n
		}
		s := b[n:]
		size := int64(le.Uint64(s))
		if size < wimStreamSize || size > int64(len(s)) {
			t.err = errDisk("entry of a stream")
			return n
		}
		stream := name
		if extra := wimText(s[wimStreamSize:], le.Uint16(s[36:])); extra != "" {
			stream = cutName(name + ":" + extra)
		}
		t.name(wimHash(s[wimStreamHash:wimStreamHash+20]), stream, attributes)
		n += (size + 7) &^ 7
	}
	if below > 0 {
		if t.kept += len(name); t.kept > wimNames {
			name = ""
		}
		t.folders = append(t.folders, wimFolder{below, name})
	}
	return n
}

// name notes what a stream is called.
func (t *wimTree) name(hash wimHash, name string, attributes uint32) {
	if _, known := t.names[hash]; known || hash == (wimHash{}) {
		return
	}
	if t.kept += len(name) + len(hash); t.kept < wimNames {
		t.names[hash] = wimName{name, attributes&wimEncrypted != 0}
	}
}

// wimText decodes so many bytes of UTF-16, as far as they are there.
func wimText(b []byte, n uint16) string {
	b = b[:min(int(n), len(b), 2*maxName)]
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return cutName(strings.TrimRight(string(utf16.Decode(units)), "\x00"))
}
