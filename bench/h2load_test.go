//go:build linux

package main

import (
	"bytes"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

const h2loadOutput = `starting benchmark...
Application protocol: h2

finished in 2.02s, 5000.00 req/s, 444.66KB/s
requests: 10014 total, 10045 started, 10014 done, 10000 succeeded, 14 failed, 14 errored, 3 timeout
status codes: 10000 2xx, 2 3xx, 3 4xx, 4 5xx
traffic: 444.66KB (455330) total, 292.97KB (300000) headers (space savings 47.37%), 126.95KB (130000) data
                     min         max         mean         sd        +/- sd
time for request:       89us      5.28ms      1.27ms       656us    84.88%
`

func TestParseH2load(t *testing.T) {
	got, err := parseH2load(h2loadOutput)
	if want := (result{Requests: 10000, Elapsed: 2 * time.Second, Bytes: 130000, Errors: 14, Wrong: 9}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", strings.Replace(h2loadOutput, "h2\n", "http/1.1\n", 1), strings.Replace(h2loadOutput, "status codes", "codes", 1)} {
		if got, err := parseH2load(bad); err == nil {
			t.Errorf("%q: no error, and %+v", bad, got)
		}
	}
	times := h2Times("1795794863145110\t200\t418\n1795794863145112\t503\t7\n1795794863145112\t200\t460\nspoilt\n")
	if want := []time.Duration{418 * time.Microsecond, 460 * time.Microsecond}; !slices.Equal(times, want) {
		t.Errorf("times %v", times)
	}
}

// h2load and bench's own client see the same of a server with HTTP/2; one without
// is refused.
func TestH2load(t *testing.T) {
	path, err := exec.LookPath("h2load")
	if err != nil {
		if required("h2load") {
			t.Fatal(err)
		}
		t.Skip("h2load is not installed: apt-get install nghttp2-client")
	}
	body := []byte("Hello, World!")
	for _, h2 := range []bool{true, false} {
		addr := secureServer(t, h2, func(w http.ResponseWriter, r *http.Request) { w.Write(body) })
		l := load{path: "/", conns: 3, streams: 4, body: body}
		a, err := checkH2(addr, l)
		if (err == nil) != h2 {
			t.Errorf("HTTP/2 %v: %v", h2, err)
		}
		got, err := h2load(generation{Conns: l.conns, Duration: time.Second, H2: &h2Run{Path: path, URL: "https://" + addr + "/", Streams: l.streams, Threads: 2}})
		if !h2 {
			if err == nil || !strings.Contains(err.Error(), "did not get HTTP/2") {
				t.Errorf("without HTTP/2: %+v, %v", got, err)
			}
			continue
		}
		if err != nil || got.Requests == 0 || got.Errors+got.Wrong > 0 || got.P50 == 0 || got.P999 < got.P50 {
			t.Errorf("%+v, %v", got, err)
		}
		if err := got.check([]answer{a}, l); err != nil {
			t.Error(err)
		}
		if _, err := checkH2(addr, load{path: "/", body: bytes.ToUpper(body)}); err == nil {
			t.Error("a wrong answer is right")
		}
	}
}
