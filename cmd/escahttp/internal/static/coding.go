package static

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	brotli "github.com/molecule-man/go-brrr"
)

// coding is a content coding: a way to send less.
type coding struct {
	name   string // of Accept-Encoding and Content-Encoding
	value  []byte // the same
	ext    string // of files that are coded so
	suffix []byte // of entity tags
	encode func(plain []byte) ([]byte, error)
	decode func(coded io.Reader) (io.ReadCloser, error)
}

// codings are those that there are, in the order of what they save.
var codings = [...]coding{
	{"br", []byte("br"), ".br", []byte(`-br"`), encodeBrotli, decodeBrotli},
	{"zstd", []byte("zstd"), ".zst", []byte(`-zstd"`), encodeZstd, decodeZstd},
	{"gzip", []byte("gzip"), ".gz", []byte(`-gzip"`), encodeGzip, decodeGzip},
}

const gzipCoding = 2

// Levels of what is encoded while a client waits, once for each version: beyond these
// a few per cent less cost several times the time.
const (
	brotliLevel = 5
	gzipLevel   = 6
)

func encodeBrotli(plain []byte) ([]byte, error) { return brotli.Compress(plain, brotliLevel) }

func decodeBrotli(r io.Reader) (io.ReadCloser, error) { return brotli.NewReader(r), nil }

func encodeZstd(plain []byte) ([]byte, error) {
	// Browsers take no larger window (RFC 9659).
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(plain, nil), w.Close()
}

const zstdWindow = 8 << 20

func decodeZstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

func encodeGzip(plain []byte) ([]byte, error) {
	var to bytes.Buffer
	w, err := gzip.NewWriterLevel(&to, gzipLevel)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return to.Bytes(), err
}

func decodeGzip(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }

// errTooLarge is what decodeWithin ends with if there is more than may be.
var errTooLarge = errors.New("decoded, it is larger than there is room for")

// decodeWithin decodes r, of which may come most bytes.
func (c *coding) decodeWithin(r io.Reader, most int64) ([]byte, error) {
	d, err := c.decode(r)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	b, err := io.ReadAll(io.LimitReader(d, most+1))
	if err == nil && int64(len(b)) > most {
		err = errTooLarge
	}
	return b, err
}

// appendTag appends the tag of what has the tag plain, coded: another one, as these
// are other bytes.
func (c *coding) appendTag(b, plain []byte) []byte {
	if len(plain) == 0 {
		return b
	}
	return append(append(b, plain[:len(plain)-1]...), c.suffix...)
}

// isCoded reports whether name is that of a file which is coded already.
func isCoded(name []byte) bool {
	for i := range codings {
		if bytes.HasSuffix(name, []byte(codings[i].ext)) {
			return true
		}
	}
	return false
}

// ParseCodings reads a list of codings, such as "br,zstd,gzip", in the order in which
// they are preferred; "off" is none.
func ParseCodings(list string) (order []int, err error) {
	if list == "off" {
		return nil, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		i := codingNamed([]byte(strings.TrimSpace(name)))
		if i < 0 {
			return nil, errors.New("\"" + name + "\" is no coding: give some of br, zstd and gzip, separated by commas, or off")
		}
		for _, before := range order {
			if i == before {
				return nil, errors.New("\"" + name + "\" is named twice")
			}
		}
		order = append(order, i)
	}
	return order, nil
}

// compressible reports whether contents of that media type are worth compressing: all
// but what is compressed already.
func compressible(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	switch t {
	case "application/json", "application/json5", "application/javascript", "application/x-ndjson", "application/wasm", "application/xml",
		"application/toml", "application/yaml", "application/rtf", "application/postscript", "application/x-subrip",
		"application/vnd.apple.mpegurl", "application/vnd.ms-fontobject", "application/x-pem-file", "application/x-tar",
		"audio/mpegurl", "audio/midi", "audio/wav", "image/bmp", "image/svg+xml", "image/x-icon", "image/vnd.adobe.photoshop", "font/otf", "font/ttf", "font/collection",
		"model/obj", "model/stl", "model/gltf-binary":
		return true
	}
	return strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml")
}
