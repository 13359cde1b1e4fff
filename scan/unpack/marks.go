package unpack

import (
	"bytes"
	"slices"
)

// marks is where records begin in an archive that is read in no certain order,
// and which of them lie within members that have been read.
type marks struct {
	at   []int   // ascending
	next []int32 // of each mark, a step towards the first one from it on that is not covered
}

// maxMarks bounds the marks of an archive: ten times the default limit of objects.
const maxMarks = 1 << 20

// findMarks finds the offsets in data where is says that a record begins, all of
// which begin with "PK". all is false when there are more than maxMarks.
func findMarks(data []byte, is func([]byte) bool) (m *marks, all bool) {
	m = &marks{}
	for at := 0; ; at++ {
		i := bytes.Index(data[at:], []byte("PK"))
		if i < 0 {
			break
		}
		if at += i; !is(data[at:]) {
			continue
		}
		if len(m.at) == maxMarks {
			return m.linked(), false
		}
		m.at = append(m.at, at)
	}
	return m.linked(), true
}

func (m *marks) linked() *marks {
	m.next = make([]int32, len(m.at)+1)
	for i := range m.next {
		m.next[i] = int32(i)
	}
	return m
}

// open gives the first mark from i on that is not covered.
func (m *marks) open(i int) int {
	for m.next[i] != int32(i) {
		m.next[i] = m.next[m.next[i]] // halve the way for the next who asks
		i = int(m.next[i])
	}
	return i
}

// covered reports whether mark i lies within a member that has been read.
func (m *marks) covered(i int) bool { return m.next[i] != int32(i) }

// cover says that the bytes from start up to end have been read.
func (m *marks) cover(start, end int) {
	i, _ := slices.BinarySearch(m.at, start)
	for i = m.open(i); i < len(m.at) && m.at[i] < end; i = m.open(i) {
		m.next[i] = int32(i + 1)
	}
}
