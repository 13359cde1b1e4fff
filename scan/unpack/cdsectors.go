package unpack

import (
	"fmt"
	"io"
	"iter"
)

// cdSectorsOpener opens images of CDs that hold whole sectors, with what stands
// around their bytes (ECMA-130, section 14): what programs call BIN, IMG or MDF. In
// it is the image without that.
var cdSectorsOpener = opener{name: "cdsectors", match: cdMatch, entries: cdEntries}

const (
	cdSync  = "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00" // in front of a sector
	cdMode  = 15                                                 // where a sector says of what kind it is
	cdMode1 = 16                                                 // where its bytes begin
	cdMode2 = 24                                                 // the same, behind a subheader
)

// cdSizes are those of sectors: whole, with subchannels, and without what is in
// front of the subheader.
var cdSizes = []int{2352, 2448, cdBare}

const (
	cdBare   = 2336
	cdBareAt = 8
)

func cdMatch(data []byte) bool { return cdSize(data) > 0 }

// cdSize is the size of sectors, 0 where data are not made of such.
func cdSize(data []byte) int {
	sync := hasMagic(data, 0, cdSync)
	for _, size := range cdSizes {
		switch {
		case size == cdBare && hasMagic(data, isoSystem*size+cdBareAt+1, isoMagic),
			sync && size != cdBare && hasMagic(data, size, cdSync):
			return size
		}
	}
	return 0
}

func cdEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := &cdReader{data: f.Data, size: cdSize(f.Data)}
		name := nameLess(f.Name, ".bin", ".iso", ".img", ".iso", ".mdf", ".iso")
		yield(member{name: name, body: r, size: int64(len(f.Data)/r.size) * isoSector}, nil)
	}
}

// cdReader reads the bytes of sectors.
type cdReader struct {
	data []byte
	size int
	out  []byte // of the present sector, what has not been handed out
}

// Read implements io.Reader.
func (r *cdReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		switch {
		case len(r.data) == 0:
			return 0, io.EOF
		case len(r.data) < r.size:
			return 0, fmt.Errorf("%w: cut short", ErrDamaged)
		}
		r.out = r.sector(r.data)
		r.data = r.data[r.size:]
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// sector is what is in a sector; one without a mark, as those of music are, stands
// for one all the same.
func (r *cdReader) sector(b []byte) []byte {
	at := 0
	switch {
	case r.size == cdBare:
		at = cdBareAt
	case hasMagic(b, 0, cdSync) && b[cdMode]&3 == 2:
		at = cdMode2
	case hasMagic(b, 0, cdSync):
		at = cdMode1
	}
	return b[at : at+isoSector]
}
