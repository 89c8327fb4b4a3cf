package accesslog

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

var when = time.Date(2026, 11, 26, 12, 34, 56, 0, time.UTC)

func TestLines(t *testing.T) {
	tcp := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234}
	six := &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1234}
	for _, tt := range []struct {
		name, format string
		r            Record
		sent         int64
		want         string
	}{
		{"common", "common", Record{Peer: tcp, Method: []byte("GET"), URI: []byte("/a?b"), Proto: []byte("HTTP/1.1"), Status: 200}, 5,
			`192.0.2.1 - - [26/Nov/2026:12:34:56 +0000] "GET /a?b HTTP/1.1" 200 5`},
		{"combined", "combined", Record{Peer: six, Method: []byte("GET"), URI: []byte("/"), Proto: []byte("HTTP/1.0"), Status: 304, UserAgent: []byte("curl")}, 0,
			`2001:db8::1 - - [26/Nov/2026:12:34:56 +0000] "GET / HTTP/1.0" 304 0 "-" "curl"`},
		{"not read", "common", Record{Peer: tcp, Status: 408}, 63, `192.0.2.1 - - [26/Nov/2026:12:34:56 +0000] "-" 408 63`},
		{"unix", "common", Record{Peer: &net.UnixAddr{Net: "unix"}, Method: []byte("GET"), URI: []byte("/"), Proto: []byte("HTTP/1.1"), Status: 200}, 1,
			`unix: - - [26/Nov/2026:12:34:56 +0000] "GET / HTTP/1.1" 200 1`},
		{"forged", "combined", Record{Peer: tcp, Method: []byte("GET"), URI: []byte("/\"\n\x01\\"), Proto: []byte("HTTP/1.1"), Status: 404, Referer: []byte("a\" \"b")}, 1,
			`192.0.2.1 - - [26/Nov/2026:12:34:56 +0000] "GET /\x22\x0a\x01\x5c HTTP/1.1" 404 1 "a\x22 \x22b" "-"`},
	} {
		path := filepath.Join(t.TempDir(), "log")
		l, err := Open(path, tt.format, t.Logf)
		if err != nil {
			t.Fatal(err)
		}
		tt.r.Time = when
		l.Start(&tt.r).Finish(tt.sent)
		l.Close(30 * time.Second)
		if b, _ := os.ReadFile(path); string(b) != tt.want+"\n" {
			t.Errorf("%s: %q, want %q", tt.name, b, tt.want)
		}
	}
}

// Lines for people have colours only where there is a terminal.
func TestLinesForPeople(t *testing.T) {
	for _, colours := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "log")
		l, err := Open(path, "terminal", t.Logf)
		if err != nil {
			t.Fatal(err)
		}
		if l.colours {
			t.Error("a file has colours")
		}
		l.colours = colours
		l.Start(&Record{Peer: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, Time: time.Now(), Method: []byte("GET"), URI: []byte("/\x1b[2J"), Status: 404}).Finish(1536)
		l.Start(&Record{Peer: &net.UnixAddr{}, Time: time.Now(), Status: 200}).Finish(7)
		l.Close(30 * time.Second)
		want := `^\d\d:\d\d:\d\d 404 GET /\\x1b\[2J 1.5 KiB, [0-9.µm]+s, 192\.0\.2\.1\n\d\d:\d\d:\d\d 200 - 7 B, [0-9.µm]+s, unix:\n$`
		if colours {
			want = `^\x1b\[2m\d\d:\d\d:\d\d\x1b\[0m \x1b\[33m404\x1b\[0m GET /\\x1b\[2J \x1b\[2m1.5 KiB, [0-9.µm]+s, 192\.0\.2\.1\x1b\[0m\n.*\x1b\[32m200\x1b\[0m - .*\n$`
		}
		if b, _ := os.ReadFile(path); !regexp.MustCompile(want).Match(b) {
			t.Errorf("%q, want %s", b, want)
		}
	}
}

func TestNoLogLogsNothing(t *testing.T) {
	var l *Log
	l.Start(&Record{}).Finish(1)
}

func TestReopenThatFailsGoesOn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "d", "log")
	os.Mkdir(filepath.Dir(path), 0o755)
	l, err := Open(path, "common", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	os.Rename(filepath.Dir(path), filepath.Join(dir, "e"))
	if err := l.Reopen(); err == nil {
		t.Error("it was opened where there is no folder")
	}
	l.Start(&Record{Time: when, Status: 200}).Finish(1)
	l.Close(30 * time.Second)
	if b, _ := os.ReadFile(filepath.Join(dir, "e", "log")); len(b) == 0 {
		t.Error("the line is lost")
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct{ path, format, says string }{
		{"x", "xml", "json or terminal"}, {filepath.Join(t.TempDir(), "no", "log"), "common", "no such file"},
	} {
		if _, err := Open(tt.path, tt.format, t.Logf); err == nil || !regexp.MustCompile(tt.says).MatchString(err.Error()) {
			t.Errorf("%s, %s: %v", tt.path, tt.format, err)
		}
	}
}
