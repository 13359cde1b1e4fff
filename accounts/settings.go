package accounts

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxOwner   = 255 // bytes
	maxForward = 100 // addresses
)

// applyTo gives the account with these settings; nil is no settings.
func (s *Settings) applyTo(a Account) Account {
	if s == nil {
		return a
	}
	put(&a.Owner, s.Owner)
	put(&a.Language, s.Language)
	put(&a.Maildir, s.Maildir)
	put(&a.Forward, s.Forward)
	put(&a.NoCopy, s.NoCopy)
	put(&a.NoCourse, s.NoCourse)
	put(&a.Main, s.Main)
	return a
}

func put[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// settings takes all settings out of an account.
func (a Account) settings() *Settings {
	forward := append([]string{}, a.Forward...) // written as [] where there is none: null would mean that it stays
	return &Settings{Owner: &a.Owner, Language: &a.Language, Maildir: &a.Maildir, Forward: &forward,
		NoCopy: &a.NoCopy, NoCourse: &a.NoCourse, Main: &a.Main}
}

// validate refuses settings under which mail could not be delivered. delimiters are
// those of address extensions: with one, an account is still itself.
func (a Account) validate(delimiters string) error {
	switch {
	case a.Language != "ja" && a.Language != "en":
		return fmt.Errorf("%s: %w: language %.40q: ja and en are known", a.Address, ErrSetting, a.Language)
	case len(a.Owner) > maxOwner || !printable(a.Owner):
		return fmt.Errorf("%s: %w: owner is over 255 bytes or has control characters", a.Address, ErrSetting)
	case len(a.Forward) > maxForward:
		return fmt.Errorf("%s: %w: over 100 forward addresses", a.Address, ErrSetting)
	case a.NoCopy && len(a.Forward) == 0:
		return fmt.Errorf("%s: %w: no copy and no forward: its mail would go nowhere", a.Address, ErrSetting)
	case a.Main && a.Owner == "":
		return fmt.Errorf("%s: %w: it cannot be the main mailbox of an owner without an owner", a.Address, ErrSetting)
	}
	if err := checkPath(a.Maildir); err != nil {
		return fmt.Errorf("%s: maildir: %w", a.Address, err)
	}
	for _, f := range a.Forward {
		// Kept as written: only the next hop knows whether its case matters.
		switch canonical, err := ParseAddress(f); {
		case err != nil:
			return fmt.Errorf("%s: forward: %w", a.Address, err)
		case canonical == a.Address, withoutExtension(canonical, delimiters) == a.Address:
			return fmt.Errorf("%s: %w: forwards to itself", a.Address, ErrSetting)
		}
	}
	return nil
}

// difference keeps of s what would change a, and says so for people.
func (s Settings) difference(a Account) (changed Settings, note string) {
	var notes []string
	if s.Owner != nil && *s.Owner != a.Owner {
		changed.Owner = s.Owner
		notes = append(notes, fmt.Sprintf("owner: %q to %q", a.Owner, *s.Owner))
	}
	if s.Language != nil && *s.Language != a.Language {
		changed.Language = s.Language
		notes = append(notes, fmt.Sprintf("language: %q to %q", a.Language, *s.Language))
	}
	if s.Maildir != nil && *s.Maildir != a.Maildir {
		changed.Maildir = s.Maildir
		notes = append(notes, fmt.Sprintf("maildir: %q to %q", a.Maildir, *s.Maildir))
	}
	if s.Forward != nil && !slices.Equal(*s.Forward, a.Forward) {
		forward := append([]string{}, *s.Forward...) // as in settings
		changed.Forward = &forward
		notes = append(notes, fmt.Sprintf("forward: %q to %q", a.Forward, *s.Forward))
	}
	if s.NoCopy != nil && *s.NoCopy != a.NoCopy {
		changed.NoCopy = s.NoCopy
		notes = append(notes, fmt.Sprintf("no copy: %t to %t", a.NoCopy, *s.NoCopy))
	}
	if s.NoCourse != nil && *s.NoCourse != a.NoCourse {
		changed.NoCourse = s.NoCourse
		notes = append(notes, fmt.Sprintf("no course: %t to %t", a.NoCourse, *s.NoCourse))
	}
	if s.Main != nil && *s.Main != a.Main {
		changed.Main = s.Main
		notes = append(notes, fmt.Sprintf("main: %t to %t", a.Main, *s.Main))
	}
	return changed, strings.Join(notes, ", ")
}

// entered cleans the name of who entered an event: it goes into logs.
func entered(by string) string {
	by = strings.Map(func(r rune) rune {
		if !printable(string(r)) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(by, "?"))
	return strings.ToValidUTF8(by[:min(len(by), maxOwner)], "") // a rune may be cut in two
}
