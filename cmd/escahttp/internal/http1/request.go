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
	proxies *realip.Proxies // nil: none are trusted
}

func (r *request) read(ctx *fasthttp.RequestCtx, proxies *realip.Proxies) {
	r.ctx, r.proxies, r.plain = ctx, proxies, isPlain(ctx.Request.Header.RawHeaders())
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
	if r.plain && looksForPart(name) {
		return nil
	}
	return r.ctx.Request.Header.Peek(name)
}

func (r *request) Headers(name string) [][]byte {
	if r.plain && looksForPart(name) {
		return nil
	}
	return r.ctx.Request.Header.PeekAll(name)
}

// looksForPart reports whether name is that of a condition, or Range.
func looksForPart(name string) bool {
	return len(name) > 2 && (name[:2] == "If" || name[:2] == "Ra")
}

func (r *request) Time() time.Time {
	if t := r.ctx.Time(); !t.IsZero() {
		return t
	}
	return time.Now() // before a body that is expected
}

// isPlain reports whether header, as it was received, has neither a condition nor
// a Range: of those that have none, which is most, one look at where lines begin
// costs less than a search for each.
func isPlain(header []byte) bool {
	if len(header) == 0 {
		return false // it did not come from a connection
	}
	for {
		if len(header) > 1 {
			switch [2]byte{header[0] | 0x20, header[1] | 0x20} {
			case [2]byte{'i', 'f'}, [2]byte{'r', 'a'}:
				return false
			}
		}
		end := bytes.IndexByte(header, '\n')
		if end < 0 || end == len(header)-1 {
			return true
		}
		header = header[end+1:]
	}
}
