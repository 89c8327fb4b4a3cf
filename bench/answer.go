//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	answerTimeout = 10 * time.Second
	// answersChecked is how many requests are checked on one connection: the
	// first answer of a connection can take another path than the next.
	answersChecked = 3
)

// answer is a response to a load's request, as the load generator will see it.
type answer struct {
	status int
	header http.Header
	body   []byte
	size   int64 // bytes on the wire
}

// freeHeaders may differ between servers that answer the same: who they are,
// when it is, and what HTTP/1.1 means anyway.
var freeHeaders = []string{"Server", "Date", "Connection", "Keep-Alive"}

// freeValues may differ too, but have to be there on both sides or on none: an
// ETag is any string that its server likes.
var freeValues = []string{"Etag"}

// checkAnswers asks addr for what the load asks for, in the way the load does,
// and returns the answer. It is an error if any is not the only right one.
func checkAnswers(addr string, l load) (answer, error) {
	c, err := dial(addr, answerTimeout)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(answerTimeout))
	if l.tls {
		c = tls.Client(c, clientTLS())
	}
	wire := &countingReader{r: c}
	in := bufio.NewReader(wire)

	batch, batches := max(1, l.pipeline), answersChecked
	if l.close || l.rare {
		batches = 1
	}
	var first answer
	for i := range batches {
		if _, err := io.WriteString(c, strings.Repeat(l.request(addr), batch)); err != nil {
			return answer{}, err
		}
		for j := range batch {
			before := wire.n - int64(in.Buffered())
			a, err := readAnswer(in, l.gzip)
			if err != nil {
				return answer{}, fmt.Errorf("GET %s: %w", l.path, err)
			}
			a.size = wire.n - int64(in.Buffered()) - before
			if l.gzip {
				if err := a.unzip(); err != nil {
					return answer{}, fmt.Errorf("GET %s: %w", l.path, err)
				}
			}
			if err := a.check(l.body); err != nil {
				return answer{}, fmt.Errorf("GET %s: %w", l.path, err)
			}
			if i == 0 && j == 0 {
				first = a
			} else if err := sameAnswer(first, a, nil); err != nil {
				return answer{}, fmt.Errorf("GET %s: a second answer: %w", l.path, err)
			}
		}
	}
	if n := in.Buffered(); n > 0 {
		return answer{}, fmt.Errorf("GET %s: %d bytes after the last answer", l.path, n)
	}
	if l.close {
		if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
			return answer{}, fmt.Errorf("GET %s: the connection is not closed after the answer", l.path)
		}
	}
	return first, nil
}

// request is what goes over the wire.
func (l load) request(addr string) string {
	var b strings.Builder
	if strings.HasPrefix(addr, unixPrefix) {
		addr = "localhost"
	}
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", l.path, addr)
	if l.close {
		b.WriteString("Connection: close\r\n")
	}
	if l.gzip {
		b.WriteString(acceptGzip + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// readAnswer reads one; of unknown length, as of what is compressed while it is
// sent, only if that may be.
func readAnswer(in *bufio.Reader, unknown bool) (answer, error) {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	if resp.ContentLength < 0 && !unknown {
		return answer{}, errors.New("no Content-Length")
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%w after %d bytes of %d", err, len(body), resp.ContentLength)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// check tells how the answer is not the right one.
func (a answer) check(want []byte) error {
	switch {
	case a.status != http.StatusOK:
		return fmt.Errorf("status %d", a.status)
	case len(a.body) != len(want):
		return fmt.Errorf("a body of %d bytes, not %d", len(a.body), len(want))
	case !bytes.Equal(a.body, want):
		at := 0
		for a.body[at] == want[at] {
			at++
		}
		return fmt.Errorf("byte %d of the body is wrong", at)
	}
	return nil
}

// sameAnswer tells how the headers of two right answers differ, but for those that
// one may have and the other not.
func sameAnswer(a, b answer, may []string) error {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a.header)), maps.Keys(b.header))
	slices.Sort(names)
	for _, name := range names {
		if slices.Contains(freeHeaders, name) || slices.Contains(may, name) {
			continue
		}
		va, vb := a.header[name], b.header[name]
		if slices.Contains(freeValues, name) && len(va) == len(vb) {
			continue
		}
		if !slices.EqualFunc(va, vb, func(x, y string) bool { return x == y || name == "Vary" && strings.EqualFold(x, y) }) {
			return fmt.Errorf("header %s is %q on one side, %q on the other", name, va, vb)
		}
	}
	return nil
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
