//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
)

// acceptGzip is the field by which a client asks for it, and all that it takes.
const acceptGzip = "Accept-Encoding: gzip"

const (
	readyPage = "ready.html" // has a ready.html.gz beside it
	madePage  = "made.html"  // is compressed by the server
	pageSize  = 40 << 10
)

// textPage is a page of words, which compresses about as well as pages do.
func textPage() []byte {
	const syllables = "ba be bi bo bu da de di do du ka ke ki ko ku la le li lo lu ma me mi mo mu na ne ni no nu ra re ri ro ru sa se si so su ta te ti to tu"
	parts := strings.Fields(syllables)
	random := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 400)
	for i := range words {
		for range 1 + random.IntN(4) {
			words[i] += parts[random.IntN(len(parts))]
		}
	}
	text := bytes.NewBufferString("<!doctype html>\n<title>A page</title>\n")
	for text.Len() < pageSize {
		text.WriteString("<p class=\"text\">")
		for range 40 {
			text.WriteString(words[random.IntN(len(words))] + " ")
		}
		text.WriteString("</p>\n")
	}
	return text.Bytes()[:pageSize]
}

// zips says whether the servers are to compress.
func (c *comparison) zips() bool {
	return slices.ContainsFunc(c.loads, func(l load) bool { return l.gzip })
}

func zipped(text []byte) []byte {
	var to bytes.Buffer
	z, _ := gzip.NewWriterLevel(&to, gzip.BestCompression) // a level that there is
	z.Write(text)                                          // a buffer takes all
	z.Close()
	return to.Bytes()
}

// unzip replaces a compressed body by what it was made of.
func (a *answer) unzip() error {
	if got := a.header.Get("Content-Encoding"); got != "gzip" {
		return fmt.Errorf("it is not compressed: Content-Encoding %q", got)
	}
	z, err := gzip.NewReader(bytes.NewReader(a.body))
	if err == nil {
		a.body, err = io.ReadAll(z)
	}
	if err != nil {
		return fmt.Errorf("what is compressed: %w", err)
	}
	return nil
}

// compressed is a page that lies compressed beside itself, and one that does not.
func (b *suiteBuilder) compressed() {
	of := func(name string) []load {
		return []load{{path: "/" + name, conns: 50, gzip: true, body: textPage(), may: []string{"Accept-Ranges", "Content-Length", "Etag", "Last-Modified"}}}
	}
	sides := b.both(escahttp, nginx, h2o, caddy)
	b.add(comparison{name: "gzip/ready/c50", sides: sides, placement: free, brief: true, loads: of(readyPage)})
	b.add(comparison{name: "gzip/made/c50", sides: sides, placement: free, brief: true, loads: of(madePage)})
}
