package main

import (
	"fmt"
	"strconv"
)

// mode is the rights of a file, in octal.
type mode struct {
	set  bool
	bits uint32
}

// UnmarshalText reads a mode, such as 0660.
func (m *mode) UnmarshalText(text []byte) error {
	bits, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || bits > 0o777 {
		return fmt.Errorf("%q is no mode: give the rights in octal, such as 0660", text)
	}
	*m = mode{set: true, bits: uint32(bits)}
	return nil
}
