package http1

import (
	"bytes"
	"errors"
)

var (
	errBareLines = errors.New("the lines of the request end in bare line feeds")
	errNoRequest = errors.New("what has come is no request")
)

// CheckHead refuses, at once, what fasthttp would wait for the end of for ever: a
// request whose lines end in bare line feeds, and what has no lines, as the beginning
// of TLS. It is for server.Server's CheckHeads.
func CheckHead(head []byte) error {
	head = bytes.TrimLeft(head, "\r\n")
	switch {
	case len(head) > 0 && (head[0] < '!' || head[0] > '~'):
		return errNoRequest
	case bytes.Contains(head, []byte("\n\n")) || bytes.Contains(head, []byte("\n\r\n")) && !bytes.Contains(head, []byte("\r\n\r\n")):
		return errBareLines
	}
	return nil
}
