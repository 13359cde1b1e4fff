package config

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Print writes the configuration as a commented TOML file, which Parse reads
// back as the same configuration.
func (c *Config) Print(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "# Configuration of kiyome. A key that is left out has its default.")
	section := ""
	for _, s := range c.settings() {
		if s.value.toml() == "" {
			continue // left out
		}
		table, key := splitKey(s.key)
		if table != section {
			fmt.Fprintf(b, "\n%s\n", header(table))
			section = table
		}
		fmt.Fprintln(b)
		for _, line := range wrap(s.help, 76) {
			fmt.Fprintf(b, "# %s\n", line)
		}
		fmt.Fprintf(b, "%s = %s\n", key, s.value.toml())
	}
	return b.Flush()
}

// splitKey splits a key into its table and its name, which is never quoted.
func splitKey(key string) (table, name string) {
	i := strings.LastIndexByte(key, '.')
	return key[:max(i, 0)], key[i+1:]
}

var listIndex = regexp.MustCompile(`\[\d+\]$`)

// header is the line that starts a table.
func header(table string) string {
	if name := listIndex.ReplaceAllString(table, ""); name != table {
		return "[[" + name + "]]"
	}
	return "[" + table + "]"
}

// wrap breaks a text into lines of at most width bytes.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
