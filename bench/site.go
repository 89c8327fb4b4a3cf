//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
)

// siteSizes are the bytes of what a page of a real site loads, as pages of the web
// have it in the middle: a page, style sheets, scripts, fonts, pictures and icons.
var siteSizes = []struct {
	name string
	size int
}{
	{"index.html", 31_482},
	{"css/reset.css", 1_117},
	{"css/site.css", 48_903},
	{"css/print.css", 3_260},
	{"js/runtime.js", 2_394},
	{"js/vendor.js", 142_718},
	{"js/app.js", 76_051},
	{"js/search.js", 18_446},
	{"js/menu.js", 5_209},
	{"font/text.woff2", 22_780},
	{"font/bold.woff2", 23_604},
	{"img/logo.svg", 4_718},
	{"img/hero.webp", 118_236},
	{"img/team.webp", 64_790},
	{"img/office.webp", 39_127},
	{"img/thumb1.webp", 9_862},
	{"img/thumb2.webp", 11_344},
	{"img/thumb3.webp", 8_575},
	{"favicon.ico", 15_086},
	{"manifest.json", 612},
}

// siteRoot is where it lies beneath the files of static file servers. Every file is
// of the type that all servers have for names they know nothing of, as their tables
// of types differ.
const siteRoot = "site/"

// sitePages are those files; random, as the others of the workshop.
func sitePages() []page {
	pages := make([]page, len(siteSizes))
	for i, f := range siteSizes {
		var seed [32]byte
		copy(seed[:], f.name)
		pages[i] = page{path: fmt.Sprintf("/%s%s.bin", siteRoot, f.name), body: make([]byte, f.size)}
		rand.NewChaCha8(seed).Read(pages[i].body)
	}
	return pages
}

// siteLoad asks for all of them, one after another, on each connection.
func siteLoad(conns int) []load {
	pages := sitePages()
	return []load{{path: pages[0].path, body: pages[0].body, rest: pages[1:], conns: conns, may: []string{"Vary"}}}
}

// site is what a file server is for.
func (b *suiteBuilder) site() {
	sides := b.both(escahttp, nginx, lighttpd, h2o, caddy)
	b.add(comparison{name: "site/pinned/c50", sides: sides, placement: pinned, loads: siteLoad(50)})
	b.add(comparison{name: "site/free/c50", sides: sides, placement: free, brief: true, loads: siteLoad(50)})
}
