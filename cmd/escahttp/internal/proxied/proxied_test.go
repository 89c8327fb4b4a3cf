package proxied

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

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
		{"1, unknown", "PROXY UNKNOWN\r\n", "", false},
		{"2, IPv4", v2 + "\x21\x11\x00\x0c" + "\xc6\x33\x64\x07" + "\xc0\x00\x02\x01" + "\x12\x67" + "\x00\x50", "198.51.100.7:4711", false},
		{"2, more behind the addresses", v2 + "\x21\x11\x00\x10" + "\xc6\x33\x64\x07" + "\xc0\x00\x02\x01" + "\x12\x67" + "\x00\x50" + "\x04\x00\x01x", "198.51.100.7:4711", false},
		{"2, local", v2 + "\x20\x00\x00\x00", "", false},
		{"none", "GET / HTTP/1.1\r\n\r\n", "", true},
		{"a long one", "PROXY " + strings.Repeat("x", 200) + "\r\n", "", true},
		{"a long second one", v2 + "\x21\x11\xff\xff" + strings.Repeat("x", 5000), "", true},
		{"a short one", v2 + "\x21\x11\x00\x02xx", "", true},
		{"half of one", "PROXY TCP4 198.51", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			trusted, _ := realip.ParsePrefixes("127.0.0.1")
			l := Listen(ln, Options{Trusted: trusted, Within: 30 * time.Second, Logf: t.Logf})
			defer l.Close()
			c, err := net.Dial("tcp4", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, tt.header+"behind")
			c.(*net.TCPConn).CloseWrite()
			if tt.refused {
				if n, err := io.Copy(io.Discard, c); n > 0 {
					t.Errorf("%d bytes, %v", n, err)
				}
				return
			}
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			want := tt.peer
			if want == "" {
				want = c.LocalAddr().String()
			}
			if got := s.RemoteAddr().String(); got != want {
				t.Errorf("the peer is %s, want %s", got, want)
			}
			if b, err := io.ReadAll(s); string(b) != "behind" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

func TestWhoIsNotTrusted(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	l := Listen(ln, Options{Within: time.Minute, Logf: func(format string, _ ...any) { said <- format }})
	c, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n")
	if n, _ := io.Copy(io.Discard, c); n > 0 {
		t.Error("it is answered")
	}
	<-said
	l.Close()
	if _, err := l.Accept(); err == nil {
		t.Error("it is accepted")
	}
}

// Whatever comes, no more is read than a header may have, and what is behind it stays.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"))
	f.Add([]byte(v2 + "\x21\x11\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x01\x12\x67\x00\x50"))
	f.Fuzz(func(t *testing.T, header []byte) {
		const behind = "behind"
		all := &counter{r: io.MultiReader(bytes.NewReader(header), strings.NewReader(behind))}
		r := bufio.NewReaderSize(all, longestHeader)
		_, err := readHeader(r)
		if all.n > 2*longestHeader {
			t.Errorf("%d bytes were read", all.n)
		}
		if err == nil {
			if rest, _ := io.ReadAll(r); !bytes.HasSuffix(append(header, behind...), rest) {
				t.Errorf("behind it is %q", rest)
			}
		}
	})
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
