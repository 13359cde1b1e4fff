package worker

import (
	"errors"
	"fmt"

	"kiyome/scan"
)

// check reports what is wrong with a verdict on a message of size bytes, given
// what the worker had told as found. A worker may have been taken over by what
// it scanned: it must not be able to have a cut made that is none, or to take a
// finding back.
func check(v *scan.Verdict, size int64, found int) error {
	switch v.Outcome {
	case scan.Clean:
		if len(v.Findings) > 0 || found > 0 {
			return errors.New("a clean verdict with findings")
		}
	case scan.Cleaned, scan.ReportOnly:
		if len(v.Findings) == 0 {
			return fmt.Errorf("the outcome %q without a finding", v.Outcome)
		}
	default:
		return fmt.Errorf("the outcome %q", v.Outcome)
	}
	if (v.Outcome == scan.Cleaned) != (len(v.Cut) > 0) {
		return fmt.Errorf("the outcome %q with %d cuts", v.Outcome, len(v.Cut))
	}
	at := 0
	for _, c := range v.Cut {
		if c.Start < at || c.End <= c.Start || int64(c.End) > size {
			return fmt.Errorf("a cut of [%d, %d) of %d bytes", c.Start, c.End, size)
		}
		at = c.End
	}
	return nil
}
