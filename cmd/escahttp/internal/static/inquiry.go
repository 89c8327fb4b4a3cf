package static

import (
	"net/netip"
	"time"
)

// inquiry is a Request of nobody's, by which the operator learns what would be answered.
type inquiry struct{ path string }

func (inquiry) Method() []byte          { return []byte("GET") }
func (q inquiry) Path() []byte          { return []byte(q.path) }
func (inquiry) Query() []byte           { return nil }
func (inquiry) Host() []byte            { return nil }
func (inquiry) Client() netip.Addr      { return netip.AddrFrom4([4]byte{192, 0, 2, 1}) } // of RFC 5737
func (inquiry) Secure() bool            { return true }
func (inquiry) Header(string) []byte    { return nil }
func (inquiry) Headers(string) [][]byte { return nil }
func (inquiry) Time() time.Time         { return time.Now() }
