// Package terminal is for what people see: colours where they can be, and codes that a
// phone can read.
package terminal

import (
	"os"

	"github.com/mattn/go-isatty"
)

// Is reports whether f is a terminal.
func Is(f *os.File) bool { return isatty.IsTerminal(f.Fd()) }

// Colours reports whether f is a terminal whose user wants colours (no-color.org).
func Colours(f *os.File) bool {
	return Is(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
