package unpack

import (
	"bytes"
	"iter"
	"slices"
	"time"
)

// Bounds of what one message may spend on passwords. Deriving a key is made to
// be slow: a quarter of a second each in 7z.
const (
	maxTries     = 2000
	maxTriesTime = 10 * time.Second
)

// keyring holds the passwords that encrypted members are tried with. It is shared
// by all walks of a Walker, and never told to anybody.
type keyring struct {
	candidates func() []string // asked at the first encrypted member
	passwords  []string
	asked      bool
	tries      int
	spent      time.Duration

	tells func(text string) []string // the passwords that a text tells
	texts []string                   // of containers, not asked yet
	noted int                        // texts in all
}

// SetPasswords says which passwords encrypted members are tried with, the
// likeliest first. candidates is called when the first of them is met, once.
func (w *Walker) SetPasswords(candidates func() []string) { w.keys = &keyring{candidates: candidates} }

// Bounds of the texts in containers that are read for passwords.
const (
	maxToldText  = 4 << 10 // bytes of one
	maxToldTexts = 32
)

// SetToldPasswords says which passwords a text tells: a file in a container, such
// as the readme beside an encrypted one, or a container's comment. It is called
// when the next encrypted member is met.
func (w *Walker) SetToldPasswords(tells func(text string) []string) { w.keys.tells = tells }

// note keeps a text of a container that may tell a password.
func (k *keyring) note(text []byte) {
	if k == nil || k.tells == nil || len(text) == 0 || len(text) > maxToldText || k.noted >= maxToldTexts || bytes.IndexByte(text, 0) >= 0 {
		return
	}
	k.noted++
	k.texts = append(k.texts, decodeName(text))
}

// ask makes the list of passwords what is known by now.
func (k *keyring) ask() {
	if !k.asked {
		k.asked, k.passwords = true, k.candidates()
	}
	var told []string
	for _, text := range k.texts {
		told = append(told, k.tells(text)...)
	}
	k.texts = nil
	isKnown := func(p string) bool { return slices.Contains(k.passwords, p) }
	k.passwords = append(slices.DeleteFunc(told, isKnown), k.passwords...)
}

// passwords yields the passwords to try on f, those that have opened something
// before first, as long as the message's bounds allow. The time that a consumer
// takes between two of them counts.
func (f File) passwords() iter.Seq[string] {
	return func(yield func(string) bool) {
		k := f.keys
		if k == nil {
			return
		}
		k.ask()
		for _, p := range slices.Clone(k.passwords) {
			if k.tries++; k.tries > maxTries || k.spent > maxTriesTime {
				return
			}
			start := time.Now()
			more := yield(p)
			if k.spent += time.Since(start); !more {
				return
			}
		}
	}
}

// opened notes that a password fits: it is the first one to be tried from now on.
func (f File) opened(password string) {
	k := f.keys
	if i := slices.Index(k.passwords, password); i > 0 {
		k.passwords = slices.Insert(slices.Delete(k.passwords, i, i+1), 0, password)
	}
}
