package main

import "strings"

// lines are the values of a flag that may be given more than once. In the environment
// they are separated by line ends.
type lines []string

// UnmarshalText adds what text holds.
func (l *lines) UnmarshalText(text []byte) error {
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			*l = append(*l, line)
		}
	}
	return nil
}
