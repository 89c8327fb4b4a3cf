package static

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/flate"
	"errors"
	"io"
	"io/fs"
	"time"

	fastflate "github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// archive is the body of an answer: the files of a folder, in one.
//
// The folder may change meanwhile. A file that is gone is left out; one that has taken
// another's place is there whole. One that is being appended to is as long as it was when
// it was begun with. One that is written over while it is sent, or cut off, would be a
// mixture: the body ends there, and stays incomplete.
type archive struct {
	format  *archiveFormat
	name    string // of the folder
	dir     *directory
	entries []archived
	busy    chan struct{}
}

// Close lets go of the root, and gives way to another.
func (s *archive) Close() {
	if s.dir != nil {
		s.dir.letGo()
	}
	<-s.busy
}

// WriteTo is io.WriterTo's.
func (s *archive) WriteTo(w io.Writer) (int64, error) {
	out := &counting{w: w}
	buffered := bufio.NewWriterSize(out, copyBuffer)
	p, err := s.packer(buffered)
	if err != nil {
		return out.n, err
	}
	for i := range s.entries {
		if err = s.put(p, &s.entries[i]); err != nil {
			break
		}
	}
	if err == nil {
		err = p.Close()
	} else {
		p.abandon()
	}
	if err == nil {
		err = buffered.Flush()
	}
	return out.n, err
}

// put writes one entry.
func (s *archive) put(p packer, e *archived) error {
	at := time.Unix(0, e.mtime)
	if e.folder {
		_, err := p.begin(e.name+"/", -1, at)
		return err
	}
	f, err := s.dir.file(e.path)
	if err != nil {
		if exhausted(err) {
			return err
		}
		return nil // it is not there any more, or may not be read
	}
	defer f.letGo()
	var before, after stamp
	if err := f.stat(&before); err != nil {
		return err
	}
	if before.kind != regular || generated(f.fd) {
		return nil
	}
	to, err := p.begin(e.name, before.size, time.Unix(0, before.mtime))
	if err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{io.NewSectionReader(f, 0, before.size)}, *buf)
	if err != nil {
		return err
	}
	if err := f.stat(&after); err != nil {
		return err
	}
	if grown := after.size > before.size; n < before.size || !grown && before.rewritten(&after) {
		return errChanged
	}
	return nil
}

// packer writes an archive, entry by entry.
type packer interface {
	// begin begins an entry, whose contents, of size bytes, go to the writer; size is -1
	// for a folder.
	begin(name string, size int64, at time.Time) (io.Writer, error)
	Close() error
	// abandon lets go of what it has, and writes nothing more.
	abandon()
}

func (s *archive) packer(w io.Writer) (packer, error) {
	if s.format.name == "zip" {
		z := zip.NewWriter(w)
		z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
			return fastflate.NewWriter(w, flate.BestSpeed)
		})
		return zipPacker{z}, nil
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	return &tarPacker{z, tar.NewWriter(z)}, nil
}

type zipPacker struct{ *zip.Writer }

func (z zipPacker) begin(name string, size int64, at time.Time) (io.Writer, error) {
	h := &zip.FileHeader{Name: name, Modified: at.UTC(), Method: zip.Deflate}
	h.SetMode(0o644)
	if size < 0 {
		h.SetMode(fs.ModeDir | 0o755)
		h.Method = zip.Store
	}
	return z.CreateHeader(h)
}

func (zipPacker) abandon() {}

type tarPacker struct {
	z *zstd.Encoder
	*tar.Writer
}

func (t *tarPacker) begin(name string, size int64, at time.Time) (io.Writer, error) {
	h := &tar.Header{Name: name, Size: size, Mode: 0o644, ModTime: at.Truncate(time.Second), Typeflag: tar.TypeReg}
	if size < 0 {
		h.Size, h.Mode, h.Typeflag = 0, 0o755, tar.TypeDir
	}
	return t.Writer, t.WriteHeader(h)
}

func (t *tarPacker) Close() error {
	return errors.Join(t.Writer.Close(), t.z.Close())
}

func (t *tarPacker) abandon() {
	t.z.Reset(nil)
	t.z.Close()
}

// counting counts what has gone to w.
type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
