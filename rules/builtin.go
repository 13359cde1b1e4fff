package rules

import "embed"

// builtinSet is the name of the set that comes with kiyome, and no folder's.
const builtinSet = "kiyome"

// builtin holds the sources of that set.
//
//go:embed *.yar
var builtin embed.FS

// eicar is the standard test virus. It stands here in two pieces, so that no
// scanner takes this file or the program for infected.
func eicar() []byte {
	return []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$` + string([]byte{'E', 'I', 'C', 'A', 'R'}) + `-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`)
}
