package static

import (
	"mime"
	"testing"
)

func TestContentTypes(t *testing.T) {
	for ext, want := range map[string]string{
		".ts": "video/mp2t", ".eot": "application/vnd.ms-fontobject", ".mjs": "text/javascript; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".wasm": "application/wasm", ".avif": "image/avif", ".webmanifest": "application/manifest+json", ".woff2": "font/woff2",
		".JPG": "image/jpeg", ".svg": "image/svg+xml", ".m3u8": "application/vnd.apple.mpegurl", ".ico": "image/x-icon",
		"": "application/octet-stream", ".": "application/octet-stream", ".unheard-of": "application/octet-stream",
	} {
		if got := contentType(ext); got != want {
			t.Errorf("%q: %q, want %q", ext, got, want)
		}
	}
	// What the machine has been told does not count.
	if err := mime.AddExtensionType(".unheard-of", "text/x-test"); err != nil {
		t.Fatal(err)
	}
	if err := mime.AddExtensionType(".ts", "text/vnd.trolltech.linguist"); err != nil {
		t.Fatal(err)
	}
	if contentType(".ts") != "video/mp2t" || contentType(".unheard-of") != "application/octet-stream" {
		t.Error("the machine's own table is asked")
	}
	for ext, typ := range known {
		if _, _, err := mime.ParseMediaType(typ); err != nil || ext[0] != '.' {
			t.Errorf("%s: %q: %v", ext, typ, err)
		}
	}
}
