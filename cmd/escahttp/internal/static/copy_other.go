//go:build !linux

package static

import (
	"errors"
	"io"
)

func (v *Version) copyFrom(*descriptor, io.Writer, *memory) error { return errors.ErrUnsupported }

func (v *Version) copyOf(io.Reader, io.Writer, *memory) error { return errors.ErrUnsupported }

func generated(int) bool { return false }
