package static

import (
	"errors"
	"io"
)

// copyBuffer is how much of a file is copied at a time, and so the most that is left
// to be sent when it is looked at once more.
const copyBuffer = 64 << 10

// errChanged is what a body ends with that would be wrong.
var errChanged = errors.New("the file has changed meanwhile")

// Body sends the body of an answer. It takes the answer's version over, and lets
// go of it when it is closed. It can be used again after that.
type Body struct {
	// Copy has all of it copied, for where sendfile gains nothing.
	Copy bool

	a       Answer
	section io.SectionReader // what is sent of a file
	sent    int64
}

// Take takes the body of a, and with it the version.
func (b *Body) Take(a *Answer) {
	b.a.Version, b.a.Stream, b.a.Text, b.a.asItIs = a.Version, a.Stream, a.Text, a.asItIs
	b.a.Parts = append(b.a.parts[:0], a.Parts...)
	a.Version, a.Stream = nil, nil
	b.sent = 0
}

// Sent returns how many bytes have gone to the writer of WriteTo.
func (b *Body) Sent() int64 { return b.sent }

// Close lets go of the version.
func (b *Body) Close() {
	b.a.Close()
	b.section = io.SectionReader{}
	b.Copy = false
}

// WriteTo sends all of the body to w.
//
// A file that is sent itself is looked at once more before its last piece: a
// change until then leaves the body incomplete. By sendfile goes only what the
// client has read by then (see unread), as what is on its way are the pages of
// the file, which change with it.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	if b.a.Stream != nil {
		n, err := b.a.Stream.WriteTo(w)
		b.sent += n
		return n, err
	}
	if len(b.a.Parts) == 0 {
		return b.write(w, b.a.Text)
	}
	start := b.sent
	for i := range b.a.Parts {
		p := &b.a.Parts[i]
		var err error
		if p.Text != nil {
			if i == len(b.a.Parts)-1 {
				err = b.a.Version.stands()
			}
			if err == nil {
				_, err = b.write(w, p.Text)
			}
		} else {
			err = b.span(w, p.Span, i == len(b.a.Parts)-1 && !b.a.asItIs)
		}
		if err != nil {
			return b.sent - start, err
		}
	}
	return b.sent - start, nil
}

// span sends s; last: nothing comes after it, and the file has to be as it was.
func (b *Body) span(w io.Writer, s Span, last bool) error {
	v := b.a.Version
	switch {
	case v.size < 0:
		if _, err := b.write(w, v.body); err != nil {
			return err
		}
		return b.stream(w, v.file)
	case s.To < 0:
		return b.stream(w, io.NewSectionReader(v.file, s.From, 1<<63-1-s.From))
	case v.file == nil:
		_, err := b.write(w, v.body[s.From:s.To])
		return err
	case v.copy && !b.Copy:
		return b.sendfile(w, s)
	case v.copy:
		if all := v.file.view.of(v.file, v.size); all != nil {
			_, err := b.write(w, all[s.From:s.To])
			return err
		}
		return b.copy(w, s, false)
	}
	if !b.Copy && len(b.a.Parts) == 1 {
		bulk := Span{s.From, max(s.To-unread(), s.From)}
		if err := b.sendfile(w, bulk); err != nil {
			return err
		}
		s.From = bulk.To
	}
	return b.copy(w, s, last)
}

func (b *Body) write(w io.Writer, p []byte) (int64, error) {
	n, err := w.Write(p)
	b.sent += int64(n)
	return int64(n), err
}

// sendfile gives the section itself to w, whose ReadFrom makes a sendfile of it.
func (b *Body) sendfile(w io.Writer, s Span) error {
	if s.Len() == 0 {
		return nil
	}
	b.section = *io.NewSectionReader(b.a.Version.file, s.From, s.Len())
	var n int64
	var err error
	if rf, ok := w.(io.ReaderFrom); ok {
		n, err = rf.ReadFrom(&b.section)
	} else {
		n, err = io.Copy(w, &b.section)
	}
	b.sent += n
	if err == nil && n != s.Len() {
		err = errChanged
	}
	return err
}

// copy sends s through a buffer; check: the file is looked at before the end of s
// is sent.
func (b *Body) copy(w io.Writer, s Span, check bool) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for s.Len() > 0 {
		p := (*buf)[:min(s.Len(), copyBuffer)]
		if n, err := b.a.Version.file.ReadAt(p, s.From); n < len(p) {
			if err == nil || err == io.EOF {
				err = errChanged
			}
			return err
		}
		if s.From += int64(len(p)); s.Len() == 0 && check {
			if err := b.a.Version.stands(); err != nil {
				return err
			}
		}
		if _, err := b.write(w, p); err != nil {
			return err
		}
	}
	return nil
}

// stream sends what r has.
func (b *Body) stream(w io.Writer, r io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := r.Read(*buf)
		if n > 0 {
			if _, failed := b.write(w, (*buf)[:n]); failed != nil {
				return failed
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// stands returns an error if v is sent itself, and has changed.
func (v *Version) stands() error {
	if !v.itself() {
		return nil
	}
	var now stamp
	if err := v.file.stat(&now); err != nil {
		return err
	}
	if v.stamp.rewritten(&now) {
		return errChanged
	}
	return nil
}
