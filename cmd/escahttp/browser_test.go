//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	_ "image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browser is a headless Chromium.
type browser struct{ name, profile string }

func openBrowser(t *testing.T) *browser { return &browser{have(t, "chromium"), t.TempDir()} }

// run has Chromium open url, and returns what it prints.
func (b *browser) run(t *testing.T, url string, flags ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--ignore-certificate-errors", "--no-first-run", "--user-data-dir=" + b.profile}, flags...)
	cmd := exec.CommandContext(ctx, b.name, append(args, url)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v, %s", url, err, stderr.String())
	}
	return stdout.String()
}

// dom is the page at url when its scripts have run.
func (b *browser) dom(t *testing.T, url string) string { return b.run(t, url, "--dump-dom") }

// screenshot shows the page at url in a window, dark or light. They are kept where
// ESCAHTTP_SCREENSHOTS says, for people to look at.
func (b *browser) screenshot(t *testing.T, url, name string, width, height int, dark bool) image.Image {
	t.Helper()
	dir := os.Getenv("ESCAHTTP_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	scheme := 1
	if dark {
		scheme = 0
	}
	file := filepath.Join(dir, name+".png")
	b.run(t, url, "--screenshot="+file, fmt.Sprintf("--window-size=%d,%d", width, height), fmt.Sprintf("--blink-settings=preferredColorScheme=%d", scheme))
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// browsed is a site with something of everything.
func browsed(t *testing.T, flags ...string) (url string) {
	t.Helper()
	d := t.TempDir()
	certificate(t, d, "localhost")
	site := d + "/site"
	put(t, site+"/docs/README.md", []byte(markdownSample))
	for _, name := range []string{"a-file-with-a-rather-long-name-that-has-to-be-broken-on-a-phone.tar.gz", "b.txt", "photo of a cat.jpg", "übersicht.pdf"} {
		put(t, site+"/files/"+name, repeat('x', 100*len(name)*len(name)))
	}
	put(t, site+"/files/empty/x", nil)
	put(t, site+"/app/index.html", []byte(`<!doctype html><title>app</title><p id=p>nothing</p><script src="/app/app.js"></script>`))
	put(t, site+"/app/app.js", []byte(`document.getElementById("p").textContent = location.pathname + " by " + performance.getEntriesByType("navigation")[0].nextHopProtocol + ", " + performance.getEntriesByType("resource").map(e => e.nextHopProtocol)`))
	// A window of Chromium's is no narrower than 500 pixels.
	for name, path := range map[string]string{"list": "/files/", "markdown": "/docs/README.md"} {
		put(t, site+"/phone/"+name+".html", []byte(`<!doctype html><meta name="color-scheme" content="light dark"><body style="margin: 0"><iframe src="`+path+`" style="border: 0" width="360" height="780" onload="document.title = 'width ' + frames[0].document.documentElement.scrollWidth"></iframe>`))
	}
	put(t, site+"/404.html", []byte(`<!doctype html><title>404</title><h1>There is no such page</h1>`))
	p := launch(t, nil, nil, append([]string{"--tls-cert=" + d + "/c", "--tls-key=" + d + "/k", "--list", "--archive", "--markdown", "--security-headers", site}, flags...)...)
	return "https://" + p.addr
}

func TestBrowser(t *testing.T) {
	b := openBrowser(t)
	listing := browsed(t, "--error-page=404 404.html")
	for _, tt := range []struct {
		url       string
		want, not []string
	}{
		{listing + "/files/", []string{"photo of a cat.jpg", `href="./%C3%BCbersicht.pdf"`, "4 files", `href="?format=zip"`}, nil},
		{listing + "/files/?sort=size&order=desc", []string{`aria-sort="descending"`}, nil},
		{listing + "/docs/README.md", []string{`<h1 id="a-title">A title</h1>`, "<table>", "raw HTML omitted"}, []string{"alert(1)"}},
		{listing + "/app/", []string{"/app/ by h2, h2"}, []string{"nothing"}},
		{listing + "/phone/list.html", []string{"<title>width 360</title>"}, nil},
		{listing + "/phone/markdown.html", []string{"<title>width 360</title>"}, nil},
		{listing + "/no/such/page", []string{"There is no such page"}, nil},
		{browsed(t, "--spa=/app/index.html") + "/users/7", []string{"/users/7 by h2, h2"}, nil},
	} {
		got := b.dom(t, tt.url)
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q is not in %s", tt.url, want, got)
			}
		}
		for _, not := range tt.not {
			if strings.Contains(got, not) {
				t.Errorf("%s: %q is in %s", tt.url, not, got)
			}
		}
	}
}

// Pages are dark where the user wants that, and fit a phone.
func TestBrowserScreenshots(t *testing.T) {
	b := openBrowser(t)
	url := browsed(t)
	for _, page := range []struct {
		path, name string
		width      int
	}{{"/files/", "list-desktop", 1100}, {"/phone/list.html", "list-phone", 500}, {"/docs/README.md", "markdown-desktop", 1100}, {"/phone/markdown.html", "markdown-phone", 500}} {
		for _, dark := range []bool{false, true} {
			name := page.name + "-light"
			if dark {
				name = page.name + "-dark"
			}
			img := b.screenshot(t, url+page.path, name, page.width, 800, dark)
			at := img.Bounds().Min
			ground := color.GrayModel.Convert(img.At(at.X+1, at.Y+1)).(color.Gray).Y
			if dark != (ground < 64) || !dark && ground < 192 {
				t.Errorf("%s: its ground is of %d", name, ground)
			}
		}
	}
}

const markdownSample = `# A title

Some text with **strong**, *emphasis*, ` + "`code`" + ` and a [link](other.md), and one that is written out: https://example.org/.

## A list

- one
- two
  - deeper
- [x] done
- [ ] not yet

> What somebody has said.

| name | size | a column that is rather wide for a phone |
|------|-----:|------|
| a | 1 | some words that take room |
| b | 20 | more of them, so that it has to scroll |

` + "```go\nfunc main() { fmt.Println(\"a line of code that is longer than the window of a phone is wide, and has to scroll\") }\n```" + `

<script>alert(1)</script>

1. first
2. second, with a footnote[^1]

---

[^1]: Here it is.
`
