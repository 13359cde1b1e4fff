package scan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kiyome/scan/mime"
)

// Check reports what is wrong with a verdict on a message of size bytes: with its
// outcome, and with what it says to cut out of somebody's mail and to put in. It is
// for whoever has the verdict from a process that has read hostile bytes.
func (v *Verdict) Check(size int64) error {
	switch v.Outcome {
	case Clean:
		if len(v.Findings) > 0 {
			return errors.New("a clean verdict with findings")
		}
	case Cleaned, ReportOnly:
		if len(v.Findings) == 0 {
			return fmt.Errorf("the outcome %q without a finding", v.Outcome)
		}
	default:
		return fmt.Errorf("the outcome %.20q", v.Outcome)
	}
	return errors.Join(v.checkCut(size), v.checkNotice(size))
}

// checkCut checks that the cut is one.
func (v *Verdict) checkCut(size int64) error {
	if (v.Outcome == Cleaned) != (len(v.Cut) > 0) {
		return fmt.Errorf("the outcome %q with %d cuts", v.Outcome, len(v.Cut))
	}
	return checkRanges(v.Cut, size)
}

// checkRanges checks that ranges can be cut from a message of size bytes.
func checkRanges(ranges []mime.Range, size int64) error {
	at := 0
	for _, c := range ranges {
		if c.Start < at || c.End <= c.Start || int64(c.End) > size {
			return fmt.Errorf("a cut of [%d, %d) of %d bytes", c.Start, c.End, size)
		}
		at = c.End
	}
	return nil
}

// checkNotice checks that the plan for a notice, if there is one, cuts what the verdict
// cuts, and inserts one notice and nothing else but what goes with it.
func (v *Verdict) checkNotice(size int64) error {
	n := v.Notice
	if n == nil {
		return nil
	}
	moved := len(n.Cut) - len(v.Cut)
	if v.Outcome != Cleaned || moved < 0 || !slices.Equal(n.Cut[moved:], v.Cut) {
		return fmt.Errorf("a notice with %d cuts, for %d", len(n.Cut), len(v.Cut))
	}
	if err := checkRanges(n.Cut, size); err != nil {
		return fmt.Errorf("a notice: %w", err)
	}
	return n.checkInserts(size)
}

// checkInserts checks what is inserted for a notice, and where.
func (n *Notice) checkInserts(size int64) error {
	at, parts, text, cuts := 0, 0, 0, n.Cut
	for _, in := range n.Insert {
		for len(cuts) > 0 && cuts[0].End <= in.At {
			cuts = cuts[1:]
		}
		if in.At < at || int64(in.At) > size || len(cuts) > 0 && cuts[0].Start <= in.At {
			return fmt.Errorf("a notice that goes in at %d of %d bytes", in.At, size)
		}
		if !isAround(in.Text) || !isAround(in.Rest) {
			return errors.New("a notice with a text that no engine writes")
		}
		at, text = in.At, text+len(in.Text)+len(in.Rest)
		if in.Part {
			parts++
		}
	}
	if parts != 1 || text > MaxInsert {
		return fmt.Errorf("%d notices in %d bytes of text", parts, text)
	}
	return nil
}

// isAround reports whether a text is what goes with a notice: delimiters, and header
// fields that tell of a body.
func isAround(text string) bool {
	for line := range strings.Lines(text) {
		switch lower := strings.ToLower(line); {
		case !strings.HasSuffix(line, "\n"):
			return false
		case strings.Trim(line, "\r\n") == "", strings.HasPrefix(line, "--"), strings.HasPrefix(line, " "), strings.HasPrefix(line, "\t"):
		case !strings.HasPrefix(lower, "content-") && !strings.HasPrefix(lower, "mime-version:"):
			return false
		}
	}
	return true
}
