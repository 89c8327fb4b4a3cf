package proxied

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/escahttp/esca/cmd/escahttp/internal/realip"
)

const v2 = "\r\n\r\n\x00\r\nQUIT\n"

func TestHeaders(t *testing.T) {
	for _, tt := range []struct {
		name, header, peer string
		refused            bool
	}{
		{"1, IPv4", "PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n", "198.51.100.7:4711", false},
		{"1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n", "[2001:db8::7]:4711", false},
		{"1, unknown", "PROXY UNKNOWN\r\n", "<nil>", false},
		{"2, IPv4", v2 + "\x21\x11\x00\x0c" + "\xc6\x33\x64\x07" + "\xc0\x00\x02\x01" + "\x12\x67" + "\x00\x50", "198.51.100.7:4711", false},
		{"2, more behind the addresses", v2 + "\x21\x11\x00\x10" + "\xc6\x33\x64\x07" + "\xc0\x00\x02\x01" + "\x12\x67" + "\x00\x50" + "\x04\x00\x01x", "198.51.100.7:4711", false},
		{"2, local", v2 + "\x20\x00\x00\x00", "<nil>", false},
		{"none", "GET / HTTP/1.1\r\n\r\n", "", true},
		{"a long one", "PROXY " + strings.Repeat("x", 200) + "\r\n", "", true},
		{"a long second one", v2 + "\x21\x11\xff\xff" + strings.Repeat("x", 5000), "", true},
		{"a short one", v2 + "\x21\x11\x00\x02xx", "", true},
		{"half of one", "PROXY TCP4 198.51", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, s := pair(t)
			io.WriteString(c, tt.header+"behind")
			c.(*net.TCPConn).CloseWrite()
			trusted, _ := realip.ParsePrefixes("127.0.0.1")
			said := 0
			h := &Headers{Trusted: trusted, Logf: func(string, ...any) { said++ }}
			peer, err := h.Read(s)
			if tt.refused {
				if err == nil || said != 1 {
					t.Errorf("%v, %v; %d lines", peer, err, said)
				}
				return
			}
			if err != nil || said > 0 {
				t.Fatalf("%v; %d lines", err, said)
			}
			if got := fmt.Sprint(peer); got != tt.peer {
				t.Errorf("the peer is %s, want %s", got, tt.peer)
			}
			if b, err := io.ReadAll(s); string(b) != "behind" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// pair returns both ends of a connection.
func pair(t *testing.T) (c, s net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if c, err = net.Dial("tcp4", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if s, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c, s
}

func TestWhoIsNotTrusted(t *testing.T) {
	c, s := pair(t)
	io.WriteString(c, "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n")
	said := ""
	h := &Headers{Logf: func(format string, args ...any) { said = fmt.Sprintf(format, args...) }}
	if peer, err := h.Read(s); err == nil || !strings.Contains(said, "none of --trusted-proxies") {
		t.Errorf("%v, %v; it said %q", peer, err, said)
	}
}

// Who looks whether we live, and sends nothing, is nothing to speak of.
func TestNothing(t *testing.T) {
	c, s := pair(t)
	c.Close()
	trusted, _ := realip.ParsePrefixes("127.0.0.1")
	h := &Headers{Trusted: trusted, Logf: t.Errorf}
	if peer, err := h.Read(s); err != io.EOF {
		t.Errorf("%v, %v", peer, err)
	}
}

// Whatever comes, no more is read than a header has.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"))
	f.Add([]byte(v2 + "\x21\x11\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x01\x12\x67\x00\x50"))
	f.Fuzz(func(t *testing.T, header []byte) {
		r := bytes.NewReader(append(header, "behind"...))
		_, err := readHeader(r)
		if n := len(header) + len("behind") - r.Len(); n > longestHeader {
			t.Errorf("%d bytes were read", n)
		}
		if line, _, ok := bytes.Cut(header, []byte{'\n'}); err == nil && ok && line[0] == 'P' && r.Len() != len(header)-len(line)-1+len("behind") {
			t.Errorf("%d bytes are behind %q", r.Len(), header)
		}
	})
}
