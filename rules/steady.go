package rules

// Steady reports whether what the set says of an object depends on the object alone, so
// that it says the same again.
func (s *Set) Steady() bool { return s.rules.steady }

// isSteady reports whether what the rules of some trees say of an object depends on the
// object alone: the module time does not.
func isSteady(trees []*tree) bool {
	for _, t := range trees {
		for _, text := range t.files {
			list := tokens(text)
			for i := range list {
				if imports(list, i, "time") {
					return false
				}
			}
		}
	}
	return true
}
