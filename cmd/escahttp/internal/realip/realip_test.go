package realip

import (
	"net/netip"
	"strings"
	"testing"
)

type headers map[string]string

func (h headers) Headers(name string) (lines [][]byte) {
	if v, ok := h[name]; ok {
		for l := range strings.SplitSeq(v, "|") {
			lines = append(lines, []byte(l))
		}
	}
	return lines
}

func TestClient(t *testing.T) {
	trusted, err := ParsePrefixes("10.0.0.0/8, 2001:db8::/32 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ header, peer, value, want string }{
		{"x-forwarded-for", "10.0.0.1", "198.51.100.7", "198.51.100.7"},
		{"x-forwarded-for", "10.0.0.1", "1.1.1.1, 198.51.100.7, 10.0.0.2", "198.51.100.7"},
		{"x-forwarded-for", "10.0.0.1", "1.1.1.1|198.51.100.7|10.0.0.2", "198.51.100.7"},
		{"x-forwarded-for", "198.51.100.9", "1.1.1.1", "198.51.100.9"}, // not trusted
		{"x-forwarded-for", "10.0.0.1", "nonsense", "10.0.0.1"},
		{"x-forwarded-for", "10.0.0.1", "1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"},
		{"x-forwarded-for", "10.0.0.1", "", "10.0.0.1"},
		{"x-forwarded-for", "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"x-forwarded-for", "10.0.0.1", "198.51.100.7:4711", "198.51.100.7"},
		{"x-forwarded-for", "10.0.0.1", "[2001:db9::7]:4711", "2001:db9::7"},
		{"x-forwarded-for", "10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"},
		{"x-forwarded-for", "::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"},
		{"x-forwarded-for", "", "198.51.100.7", "198.51.100.7"}, // a unix socket
		{"forwarded", "192.0.2.1", "for=198.51.100.7;proto=https", "198.51.100.7"},
		{"forwarded", "192.0.2.1", `for=1.1.1.1, For="[2001:db9::7]:80";by=x, for=10.1.1.1`, "2001:db9::7"},
		{"forwarded", "192.0.2.1", `for="a,b", for=_hidden`, "192.0.2.1"},
		{"forwarded", "192.0.2.1", "proto=https", "192.0.2.1"},
		// A client that leaves a quote open is not taken for the proxy.
		{"x-forwarded-for", "10.0.0.1", `", 198.51.100.7`, "198.51.100.7"},
		{"x-forwarded-for", "10.0.0.1", `"\\, 198.51.100.7, 10.0.0.2`, "198.51.100.7"},
		{"forwarded", "192.0.2.1", `for=", for=198.51.100.7`, "198.51.100.7"},
		{"forwarded", "192.0.2.1", `for="\\, for="198.51.100.7:80"`, "198.51.100.7"},
		{"off", "10.0.0.1", "198.51.100.7", "10.0.0.1"},
	} {
		p := &Proxies{trusted, Header(tt.header)}
		var peer netip.Addr
		if tt.peer != "" {
			peer = netip.MustParseAddr(tt.peer)
		}
		h := headers{"X-Forwarded-For": tt.value, "Forwarded": tt.value}
		if got := p.Client(peer, h); got.String() != tt.want {
			t.Errorf("%s from %s, %q: %s, want %s", tt.header, tt.peer, tt.value, got, tt.want)
		}
	}
	peer := netip.MustParseAddr("10.0.0.1")
	for value, want := range map[string]bool{"https": true, "http": false, "https, http": false, "http, HTTPS": true, "": false} {
		if got := (&Proxies{trusted, XForwardedFor}).Secure(peer, headers{"X-Forwarded-Proto": value}); got != want {
			t.Errorf("X-Forwarded-Proto %q: %v", value, got)
		}
	}
	if !(&Proxies{trusted, Forwarded}).Secure(peer, headers{"Forwarded": "for=x;proto=http, for=y; Proto=https"}) {
		t.Error("Forwarded says https")
	}
	if (&Proxies{trusted, XForwardedFor}).Secure(netip.MustParseAddr("1.1.1.1"), headers{"X-Forwarded-Proto": "https"}) {
		t.Error("one who is not trusted is believed")
	}
}

func TestPrefixes(t *testing.T) {
	p, err := ParsePrefixes("private, ::ffff:198.51.100.0/120")
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]bool{"127.0.0.1": true, "192.168.3.4": true, "::1": true, "fe80::1%eth0": true, "8.8.8.8": false, "198.51.100.3": true, "198.51.101.3": false} {
		if got := p.Contain(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	for _, bad := range []string{"10.0.0.0/33", "x", "fe80::1%eth0", "10.0.0"} {
		if _, err := ParsePrefixes(bad); err == nil {
			t.Errorf("%s is a network", bad)
		}
	}
}

// Whatever the field holds, the client is not one of the proxies unless there is nobody
// else, and nobody is believed who is not trusted.
func FuzzForwarded(f *testing.F) {
	f.Add("for=1.2.3.4, for=\"[::1]:80\"", "1.2.3.4, 10.0.0.1")
	f.Add("for=\"\\\"", ",,,")
	f.Fuzz(func(t *testing.T, forwarded, xff string) {
		h := headers{"Forwarded": forwarded, "X-Forwarded-For": xff}
		far, near := netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("127.0.0.1")
		for _, header := range []Header{XForwardedFor, Forwarded} {
			p := &Proxies{private, header}
			if got := p.Client(far, h); got != far {
				t.Errorf("%s is believed: %s", far, got)
			}
			if got := p.Client(near, h); !got.IsValid() || got.Zone() != "" {
				t.Errorf("the client is %v", got)
			}
			p.Secure(near, h)
		}
	})
}
