// Package realip finds out who a client is behind proxies that are trusted: what others
// say of it is not believed.
package realip

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

// Prefixes are networks.
type Prefixes []netip.Prefix

// ParsePrefixes reads networks, such as 10.0.0.0/8, and addresses, separated by commas or
// spaces; "private" stands for those that are not routed, and loopback.
func ParsePrefixes(text string) (list Prefixes, err error) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
		if word == "private" {
			list = append(list, private...)
			continue
		}
		p, err := netip.ParsePrefix(word)
		if a, failed := netip.ParseAddr(word); err != nil && failed == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no network: give one such as 10.0.0.0/8, an address, or private", word)
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

var private = Prefixes{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("169.254.0.0/16"),
}

// Contain reports whether a is in one of them.
func (p Prefixes) Contain(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for i := range p {
		if p[i].Contains(a) {
			return true
		}
	}
	return false
}

// Header is the field in which proxies say whom they speak for.
type Header string

const (
	// XForwardedFor is X-Forwarded-For, with X-Forwarded-Proto.
	XForwardedFor Header = "x-forwarded-for"
	// Forwarded is RFC 7239's.
	Forwarded Header = "forwarded"
	// None is that they do not.
	None Header = "off"
)

// Proxies are those that are trusted. A peer without an address, over a unix socket, is.
type Proxies struct {
	Trusted Prefixes
	Header  Header
}

// Fields are the fields of a request.
type Fields interface {
	Headers(name string) [][]byte
}

// Client returns who the client is whose request peer has sent. Of the addresses in the
// field, the last that is not a trusted proxy's counts: what is in front of it, the client
// may have made up.
func (p *Proxies) Client(peer netip.Addr, r Fields) netip.Addr {
	if p == nil || p.Header == None || !p.trusts(peer) {
		return peer
	}
	name, address := "X-Forwarded-For", plainAddress
	if p.Header == Forwarded {
		name, address = "Forwarded", forwardedFor
	}
	client := peer
	lines := r.Headers(name)
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for more := true; more; {
			var element []byte
			element, rest, more = lastElement(rest)
			a, ok := address(element)
			if !ok {
				return client
			}
			if client = a; !p.trusts(a) {
				return client
			}
		}
	}
	return client
}

// Secure reports whether peer, if it is trusted, says that the request came to it by TLS.
func (p *Proxies) Secure(peer netip.Addr, r Fields) bool {
	if p == nil || p.Header == None || !p.trusts(peer) {
		return false
	}
	if p.Header == XForwardedFor {
		lines := r.Headers("X-Forwarded-Proto")
		if len(lines) == 0 {
			return false
		}
		last, _, _ := lastElement(lines[len(lines)-1])
		return bytes.EqualFold(last, []byte("https"))
	}
	lines := r.Headers("Forwarded")
	if len(lines) == 0 {
		return false
	}
	last, _, _ := lastElement(lines[len(lines)-1])
	proto, _ := parameter(last, "proto")
	return strings.EqualFold(proto, "https")
}

func (p *Proxies) trusts(a netip.Addr) bool { return !a.IsValid() || p.Trusted.Contain(a) }

// lastElement cuts the last element off a list; commas in quotes do not separate. It looks
// from the end: what is in front of it the client may have made up, a quote that nothing
// closes included.
func lastElement(list []byte) (last, rest []byte, more bool) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch {
		case list[i] == '"':
			quoted = !quoted
		case list[i] == ',' && !quoted:
			return bytes.TrimSpace(list[i+1:]), list[:i], true
		}
	}
	return bytes.TrimSpace(list), nil, false
}

// plainAddress reads an address, with or without a port, as they are in X-Forwarded-For.
func plainAddress(b []byte) (netip.Addr, bool) {
	s := string(b)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

// forwardedFor reads the address of an element of Forwarded.
func forwardedFor(element []byte) (netip.Addr, bool) {
	s, ok := parameter(element, "for")
	if !ok {
		return netip.Addr{}, false
	}
	return plainAddress([]byte(s))
}

// parameter returns the value of a parameter of an element of Forwarded.
func parameter(element []byte, name string) (value string, ok bool) {
	for pair := range strings.SplitSeq(string(element), ";") {
		k, v, is := strings.Cut(strings.TrimSpace(pair), "=")
		if is && strings.EqualFold(k, name) {
			if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
				v = v[1 : len(v)-1]
			}
			return v, true
		}
	}
	return "", false
}
