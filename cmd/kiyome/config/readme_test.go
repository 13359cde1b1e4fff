package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// readme is where people read about the settings.
const readme = "../../../README.md"

// The README lists every setting with its default, in the words of `config print`.
func TestReadmeListsEverySetting(t *testing.T) {
	c := Default()
	c.Rules.Sets = map[string]*RuleSet{"NAME": defaultRuleSet()}
	c.Billing.Prices, c.Billing.Campaigns = []*Price{{}}, []*Campaign{{}}
	var b strings.Builder
	b.WriteString("| setting | default | |\n| --- | --- | --- |\n")
	for _, s := range c.settings() {
		key, value := s.key, "`"+s.value.toml()+"`"
		if table, name, list := strings.Cut(key, "[0]"); list {
			key, value = "[["+table+"]] "+strings.TrimPrefix(name, "."), "" // there is none unless the file has one
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, value, strings.ReplaceAll(s.help, "|", `\|`))
	}
	const start, end = "## Every setting\n\n", "\n`--config FILE` names the file"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), start)
	got, tail, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("README.md has no part that starts with %q and ends before %q", start, end)
	}
	if got == b.String() {
		return
	}
	if !*update {
		t.Fatalf("README.md lists other settings than there are; go test ./cmd/kiyome/config -run Readme -update mends it")
	}
	if err := os.WriteFile(readme, []byte(head+start+b.String()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
