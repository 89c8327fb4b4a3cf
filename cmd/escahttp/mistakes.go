package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// mistakes are what kong says of flags whose values it cannot read, and the same with a
// remedy.
var mistakes = []struct {
	is  *regexp.Regexp
	say string
}{
	{regexp.MustCompile(`^(--[a-z-]+): expected \S+ value but got "EOL" \(<EOL>\)`), "$1 needs a value: give $1=VALUE"},
	{regexp.MustCompile(`^(--[a-z-]+): expected \S+ value but got "(-[^"]*)" \((?:long|short) flag\).*`), "$1 needs a value, and $2 is another flag: give $1=VALUE"},
	{regexp.MustCompile(`^(--[a-z-]+): expected duration but got "([^"]*)": time: [^(]*[^ (]`), "$1=$2: give a time with its unit, such as 500ms, 30s or 5m"},
	{regexp.MustCompile(`^(--[a-z-]+): expected a valid 64 bit int but got "([^"]*)"`), "$1=$2: give a whole number"},
	{regexp.MustCompile(`^expected "<shell>"`), "completion needs the name of a shell: give bash, zsh or fish"},
	// What other servers call it.
	{regexp.MustCompile(`^unknown flag (-p|--port|-b|--bind)\b.*`), "unknown flag $1: give HOST:PORT by --addr, such as --addr=:8080"},
	{regexp.MustCompile(`^unknown flag (-d|--dir|--directory|-r|--root)\b.*`), "unknown flag $1: give the directory as it is, behind the flags"},
	{regexp.MustCompile(`^unknown flag (-c)\b.*`), "unknown flag $1: give the configuration by --config=FILE"},
	{regexp.MustCompile(`\(from envar `), "(from "},
}

// plainly is an error of kong's in plain words.
func plainly(err error) error {
	text := err.Error()
	for _, m := range mistakes {
		text = m.is.ReplaceAllString(text, m.say)
	}
	return errors.New(text)
}

// withHelp adds to an error of the command line where it says what may be there.
func withHelp(err error, args []string) error {
	command := "serve"
	if len(args) > 0 {
		switch args[0] {
		case "check":
			command = args[0]
		case "backends", "completion", "man":
			return err
		}
	}
	if strings.Contains(err.Error(), ": give ") {
		return err
	}
	return fmt.Errorf("%w (escahttp %s --help lists the flags)", err, command)
}
