package unpack

import (
	"slices"
	"testing"
)

func TestPasswordsThatOpenedComeFirst(t *testing.T) {
	w := NewWalker(NewArena(nil, 0), Limits{})
	asked := 0
	w.SetPasswords(func() []string { asked++; return []string{"a", "b", "c"} })
	f := File{keys: w.keys}
	f.passwords()(func(string) bool { return false })
	f.opened("b")
	if got := slices.Collect(f.passwords()); !slices.Equal(got, []string{"b", "a", "c"}) || asked != 1 {
		t.Errorf("got %q, asked %d times", got, asked)
	}
}

func TestTriesOfPasswordsAreBounded(t *testing.T) {
	w := NewWalker(NewArena(nil, 0), Limits{})
	w.SetPasswords(func() []string { return make([]string, 100) })
	tries := 0
	for range 100 {
		for range (File{keys: w.keys}).passwords() {
			tries++
		}
	}
	if tries != maxTries {
		t.Errorf("%d tries", tries)
	}
	if got := slices.Collect((File{}).passwords()); len(got) > 0 {
		t.Errorf("a file of no walk has passwords: %q", got)
	}
}
