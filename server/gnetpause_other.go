//go:build !(linux && (amd64 || arm64))

package server

import (
	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
)

// Pause is gnet's ErrUnsupportedOp on this system.
func Pause(gnet.Conn) error { return gneterrors.ErrUnsupportedOp }

// Resume is gnet's ErrUnsupportedOp on this system.
func Resume(gnet.Conn) error { return gneterrors.ErrUnsupportedOp }

// WhenDrained is gnet's ErrUnsupportedOp on this system.
func WhenDrained(gnet.Conn, int, gnet.AsyncCallback) error { return gneterrors.ErrUnsupportedOp }
