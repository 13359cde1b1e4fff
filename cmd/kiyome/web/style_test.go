package web

import (
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"strings"
	"testing"
)

// TestContrast computes the contrast of each text on its ground (WCAG 2.2, 1.4.3: 4.5 to 1)
// and of what can be pressed or filled in (1.4.11: 3 to 1), in light and dark.
func TestContrast(t *testing.T) {
	css, err := fs.ReadFile(files, "files/style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, ok := strings.Cut(string(css), "@media screen and (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("no dark colours")
	}
	dark, _, _ = strings.Cut(dark, "* { box-sizing")
	colour := regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`)
	for name, part := range map[string]string{"light": light, "dark": dark} {
		of := map[string]string{}
		for _, m := range colour.FindAllStringSubmatch(part, -1) {
			of[m[1]] = m[2]
		}
		for _, tt := range []struct {
			text, ground string
			least        float64
		}{
			{"text", "ground", 4.5}, {"text", "card", 4.5}, {"text", "tint", 4.5},
			{"soft", "ground", 4.5}, {"soft", "card", 4.5}, {"soft", "tint", 4.5},
			{"accent", "ground", 4.5}, {"accent", "card", 4.5}, {"accent-strong", "ground", 4.5},
			{"on-accent", "accent", 4.5}, {"on-accent", "accent-strong", 4.5},
			{"danger", "card", 4.5}, {"danger", "danger-tint", 4.5}, {"on-danger", "danger", 4.5},
			{"good", "good-tint", 4.5}, {"good", "card", 4.5},
			{"warn", "warn-tint", 4.5}, {"warn", "card", 4.5},
			{"edge", "card", 3}, {"edge", "ground", 3},
		} {
			got := contrast(t, of[tt.text], of[tt.ground])
			if got < tt.least {
				t.Errorf("%s: %s on %s has %.2f, want %.1f", name, tt.text, tt.ground, got, tt.least)
			}
		}
	}
}

// contrast is that of two colours (WCAG 2.2, "contrast ratio").
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	var rgb [3]int
	if _, err := fmt.Sscanf(colour, "#%02x%02x%02x", &rgb[0], &rgb[1], &rgb[2]); err != nil {
		t.Fatalf("%q is no colour: %v", colour, err)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(rgb[i]) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
