package http1

import (
	"bytes"
	"net"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/cmd/escahttp/internal/realip"
)

// request is a static.Request. fasthttp has decoded the path, merged slashes and
// resolved dots.
type request struct {
	ctx     *fasthttp.RequestCtx
	plain   bool            // it has neither a condition nor a Range
	accepts bool            // it may have an Accept-Encoding
	proxies *realip.Proxies // nil: none are trusted
}

func (r *request) read(ctx *fasthttp.RequestCtx, proxies *realip.Proxies) {
	r.ctx, r.proxies = ctx, proxies
	r.plain, r.accepts = looked(ctx.Request.Header.RawHeaders())
}

func (r *request) Method() []byte { return r.ctx.Method() }
func (r *request) Path() []byte   { return r.ctx.Path() }
func (r *request) Query() []byte  { return r.ctx.URI().QueryString() }
func (r *request) Host() []byte   { return r.ctx.Host() }

func (r *request) Client() netip.Addr {
	return r.proxies.Client(peerOf(r.ctx), r)
}

func (r *request) Secure() bool {
	return r.ctx.IsTLS() || r.proxies.Secure(peerOf(r.ctx), r)
}

// peerOf returns the other end of the connection; it is not valid on a unix socket.
func peerOf(ctx *fasthttp.RequestCtx) netip.Addr {
	if a, ok := ctx.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (r *request) Header(name string) []byte {
	if r.lacks(name) {
		return nil
	}
	return r.ctx.Request.Header.Peek(name)
}

func (r *request) Headers(name string) [][]byte {
	if r.lacks(name) {
		return nil
	}
	return r.ctx.Request.Header.PeekAll(name)
}

// lacks reports whether the request is known not to have a field.
func (r *request) lacks(name string) bool {
	return r.plain && len(name) > 2 && (name[:2] == "If" || name[:2] == "Ra") || !r.accepts && name == "Accept-Encoding"
}

func (r *request) Time() time.Time {
	if t := r.ctx.Time(); !t.IsZero() {
		return t
	}
	return time.Now() // before a body that is expected
}

// looked tells of header, as it was received, whether it has neither a condition nor a
// Range, and whether it may have an Accept-Encoding: of those that have none of them, which
// is most that are not a browser's, one look at where lines begin costs less than a search
// for each.
func looked(header []byte) (plain, accepts bool) {
	if len(header) == 0 {
		return false, true // it did not come from a connection
	}
	plain = true
	for {
		if len(header) > 1 {
			switch [2]byte{header[0] | 0x20, header[1] | 0x20} {
			case [2]byte{'i', 'f'}, [2]byte{'r', 'a'}:
				plain = false
			case [2]byte{'a', 'c'}:
				accepts = accepts || len(header) > 7 && header[7]|0x20 == 'e'
			}
		}
		end := bytes.IndexByte(header, '\n')
		if end < 0 || end == len(header)-1 {
			return plain, accepts
		}
		header = header[end+1:]
	}
}
