package unpack

import "strings"

// msiName gives the name of a stream in an installer of Windows, which has two
// letters in each character: no specification tells of it, but programs do. Other
// names stay as they are.
func msiName(name string) string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._"
	const (
		pairs  = 0x3800 // two letters of six bits, the first one low
		single = 0x4800 // one letter
		table  = 0x4840 // stands before the names of tables
	)
	var b strings.Builder
	for _, c := range name {
		switch {
		case c >= pairs && c < single:
			b.WriteByte(letters[(c-pairs)&0x3f])
			b.WriteByte(letters[(c-pairs)>>6])
		case c >= single && c < table:
			b.WriteByte(letters[c-single])
		case c == table:
			b.WriteByte('!')
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
