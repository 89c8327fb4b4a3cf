package static

import (
	"bytes"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// Options of a Handler. Zero fields take the default.
type Options struct {
	// CacheBytes bounds what the contents of small files may take together.
	// Default 64 MiB.
	CacheBytes int64
	// OpenFiles bounds how many larger files are kept open. Default 512.
	OpenFiles int
	// Revalidate is for how long a file is taken to be unchanged before it is
	// looked at again. Default one second; negative: look each time.
	Revalidate time.Duration
	// Logf is told of files that cannot be read for other reasons than that
	// they are not there. Default: nothing.
	Logf func(format string, args ...any)
}

// Handler serves files. Its Serve may be called from any number of goroutines.
type Handler struct {
	cache *cache
	logf  func(string, ...any)
}

// New returns a Handler for the files beneath dir.
func New(dir string, o Options) (*Handler, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return newHandler(newCache(root, o), o), nil
}

// NewFS returns a Handler for the files of an fs.FS that do not change, such as
// an embed.FS. They are read at once.
func NewFS(fsys fs.FS, modified time.Time) (*Handler, error) {
	c := newCache(nil, Options{})
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(fsys, name)
		if err == nil {
			c.files[name] = &file{
				size: int64(len(b)), body: b, fixed: true,
				head: newHead(name, modified, int64(len(b)), 0),
			}
		}
		return err
	})
	return newHandler(c, Options{}), err
}

func newHandler(c *cache, o Options) *Handler {
	h := &Handler{cache: c, logf: o.Logf}
	if h.logf == nil {
		h.logf = func(string, ...any) {}
	}
	return h
}

// Close closes the files that are kept open.
func (h *Handler) Close() error { return h.cache.close() }

var index = []byte("index.html")

// Serve answers ctx. It is a fasthttp.RequestHandler.
func (h *Handler) Serve(ctx *fasthttp.RequestCtx) {
	if !ctx.IsGet() && !ctx.IsHead() {
		ctx.Response.Header.Set("Allow", "GET, HEAD")
		fail(ctx, fasthttp.StatusMethodNotAllowed)
		return
	}
	// fasthttp has decoded the path, merged slashes and resolved dots.
	path := ctx.Path()
	if len(path) == 0 || path[0] != '/' || bytes.IndexByte(path, 0) >= 0 || bytes.IndexByte(path, '\\') >= 0 {
		fail(ctx, fasthttp.StatusNotFound)
		return
	}
	name := path[1:]
	inDir := len(name) == 0 || name[len(name)-1] == '/'
	if inDir {
		name = append(append(make([]byte, 0, 64), name...), index...)
	}
	f, err := h.cache.get(name, ctx.Time())
	switch {
	case err == nil:
		defer f.release()
		h.answer(ctx, f)
	case errors.Is(err, errDirectory) && !inDir:
		redirect(ctx)
	case errors.Is(err, fs.ErrPermission):
		h.tell(name, err)
		fail(ctx, fasthttp.StatusForbidden)
	case notFound(err) || errors.Is(err, errDirectory): // an index that is a directory
		fail(ctx, fasthttp.StatusNotFound)
	default:
		h.tell(name, err)
		fail(ctx, fasthttp.StatusInternalServerError)
	}
}

// tell logs err without the path in it: the client has chosen that, and may
// have chosen what would look like lines of the log.
func (h *Handler) tell(name []byte, err error) {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	h.logf("%q: %v", name, err)
}

// answer sends f, or the part of it that was asked for.
func (h *Handler) answer(ctx *fasthttp.RequestCtx, f *file) {
	resp, req := &ctx.Response, &ctx.Request.Header
	switch status := preconditions(req, &f.head); status {
	case fasthttp.StatusPreconditionFailed:
		fail(ctx, status)
		return
	case fasthttp.StatusNotModified:
		f.head.describe(resp)
		resp.SetStatusCode(status)
		resp.Header.SetNoDefaultContentType(true)
		resp.Header.SetContentType("")
		return
	}
	if r := req.Peek("Range"); len(r) > 0 && ctx.IsGet() && ifRange(req, &f.head) {
		parts, ok := parseRanges(r, f.size)
		if ok && len(parts) == 0 {
			resp.Header.Set("Content-Range", string(appendContentRange(nil, nil, f.size)))
			fail(ctx, fasthttp.StatusRequestedRangeNotSatisfiable)
			return
		}
		if ok {
			f.head.describe(resp)
			resp.SetStatusCode(fasthttp.StatusPartialContent)
			if len(parts) > 1 {
				f.sendParts(ctx, parts)
				return
			}
			resp.Header.Set("Content-Range", string(appendContentRange(nil, &parts[0], f.size)))
			f.send(ctx, parts[0])
			return
		}
	}
	f.head.describe(resp)
	f.send(ctx, span{0, f.size})
}

// describe sets what the headers say of a file.
func (h *head) describe(resp *fasthttp.Response) {
	resp.Header.SetContentTypeBytes(h.contentType)
	resp.Header.SetCanonical(keyLastModified, h.lastModified)
	resp.Header.SetCanonical(keyETag, h.etag)
	resp.Header.SetCanonical(keyAcceptRanges, valueBytes)
}

// redirect sends a directory asked for without its slash to the address with
// it. The address is a path, so it cannot lead to another host.
func redirect(ctx *fasthttp.RequestCtx) {
	to := (&url.URL{Path: "/" + strings.Trim(string(ctx.Path()), "/") + "/"}).EscapedPath()
	if q := ctx.URI().QueryString(); len(q) > 0 {
		to += "?" + string(q)
	}
	ctx.Response.Header.Set("Location", to)
	fail(ctx, fasthttp.StatusMovedPermanently)
}

// fail answers with a short page that says what status means.
func fail(ctx *fasthttp.RequestCtx, status int) {
	text := fasthttp.StatusMessage(status)
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/html; charset=utf-8")
	ctx.SetBodyString("<!doctype html><title>" + text + "</title><h1>" + text + "</h1>\n")
}

var (
	keyETag         = []byte("ETag")
	keyLastModified = []byte("Last-Modified")
	keyAcceptRanges = []byte("Accept-Ranges")
	valueBytes      = []byte("bytes")
)
