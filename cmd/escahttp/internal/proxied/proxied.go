// Package proxied reads the header (versions 1 and 2 of the PROXY protocol) by which a
// proxy begins a connection, and says whom it speaks for.
//
// Who is not trusted is refused, and so is one that sends no header: it is never guessed.
package proxied

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"

	"github.com/escahttp/esca/cmd/escahttp/internal/realip"
)

// Headers reads the headers of connections.
type Headers struct {
	// Trusted are the proxies. Peers over a unix socket are trusted.
	Trusted realip.Prefixes
	// Logf is told of connections that are refused.
	Logf func(format string, args ...any)
}

// Bounds of a header, in bytes.
const (
	longestHeader = 4 << 10 // with all that HAProxy can add it is some hundred
	longestLine   = 107     // of version 1, as its specification has it
	shortest      = 12      // what tells the versions apart
	fixed         = 16      // of version 2
)

// Read reads the header of c, and no more. peer is nil if the proxy speaks for itself.
func (h *Headers) Read(c net.Conn) (peer net.Addr, err error) {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok && !h.Trusted.Contain(a.AddrPort().Addr()) {
		err = errors.New("it is none of --trusted-proxies, and --proxy-protocol is on")
	} else if peer, err = readHeader(c); err != nil && err != io.EOF {
		err = fmt.Errorf("it does not begin with a PROXY header: %w", err)
	}
	if err != nil && err != io.EOF { // one that came and went, as those who look whether we live
		h.Logf("a connection from %v is refused: %v", c.RemoteAddr(), err)
	}
	return peer, err
}

func readHeader(r io.Reader) (peer net.Addr, err error) {
	text, err := readText(r)
	if err != nil {
		return nil, err
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		return nil, err
	}
	if h.Command.IsLocal() {
		return nil, nil
	}
	a, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok {
		return nil, nil
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	if !ok {
		return nil, nil
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), uint16(a.Port))), nil
}

// readText reads a header, as long as it says it is: what is behind it is the client's,
// and TLS perhaps. io.EOF: there is nothing at all.
func readText(r io.Reader) ([]byte, error) {
	b := make([]byte, shortest, longestLine)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	if bytes.Equal(b, proxyproto.SIGV2) {
		b = b[:fixed]
		if _, err := io.ReadFull(r, b[shortest:]); err != nil {
			return nil, noEnd(err)
		}
		n := int(binary.BigEndian.Uint16(b[fixed-2:]))
		if fixed+n > longestHeader {
			return nil, fmt.Errorf("it has %d bytes", fixed+n)
		}
		b = append(b, make([]byte, n)...)
		_, err := io.ReadFull(r, b[fixed:])
		return b, noEnd(err)
	}
	if !bytes.HasPrefix(b, proxyproto.SIGV1) {
		return nil, proxyproto.ErrNoProxyProtocol
	}
	for b[len(b)-1] != '\n' {
		if len(b) == longestLine {
			return nil, fmt.Errorf("a line of it has more than %d bytes", longestLine)
		}
		b = b[:len(b)+1]
		if _, err := io.ReadFull(r, b[len(b)-1:]); err != nil {
			return nil, noEnd(err)
		}
	}
	return b, nil
}

// noEnd is err, where an end of the stream is one in the middle of a header.
func noEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
