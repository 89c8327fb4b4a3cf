package http3_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	qhttp3 "github.com/quic-go/quic-go/http3"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server/http3"
)

// generous is how long anything may take.
const generous = time.Minute

// certificate is one of 127.0.0.1, and who trusts it.
var certificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
})

func serverTLS() *tls.Config {
	cert, _ := certificate()
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

func clientTLS() *tls.Config {
	_, pool := certificate()
	return &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{qhttp3.NextProtoH3}}
}

// running is a server that serves.
type running struct {
	*http3.Server
	fs   *fasthttp.Server
	addr string
	url  string
	log  *lines
	done chan error
}

// lines is a fasthttp.Logger that keeps what it is told.
type lines struct {
	t  *testing.T
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.WriteString(strings.TrimSpace(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")) + "\n")
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start serves fs.
func start(t *testing.T, fs *fasthttp.Server, opts ...conn.Option) *running {
	t.Helper()
	r := &running{fs: fs, log: &lines{t: t}, done: make(chan error, 1)}
	if fs.TLSConfig == nil {
		fs.TLSConfig = serverTLS()
	}
	fs.Logger = r.log
	pc, err := conn.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = pc.LocalAddr().String()
	r.url = "https://" + r.addr
	r.Server = http3.New(fs, opts...)
	go func() { r.done <- r.Serve(pc); close(r.done) }()
	t.Cleanup(func() {
		r.Close()
		within(t, "Serve returns", r.done)
	})
	return r
}

func within[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(generous):
		t.Errorf("%s: not within %v", what, generous)
	}
	return v
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for began := time.Now(); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > generous {
			t.Fatalf("%s: not within %v", what, generous)
		}
	}
}

// client returns one of quic-go's.
func client(t *testing.T) *http.Client {
	t.Helper()
	tr := &qhttp3.Transport{TLSClientConfig: clientTLS(), DisableCompression: true}
	t.Cleanup(func() { tr.Close() })
	return &http.Client{Transport: tr, Timeout: generous, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// dial returns a connection of HTTP/3 to which requests can be put in parts.
func (r *running) dial(t *testing.T) (*quic.Conn, *qhttp3.ClientConn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), generous)
	t.Cleanup(cancel)
	c, err := quic.DialAddr(ctx, r.addr, clientTLS(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseWithError(0, "") })
	return c, (&qhttp3.Transport{}).NewClientConn(c)
}

// answer is a body, or what has broken it off.
type answer struct {
	b   []byte
	err error
}

// asked asks for url on a goroutine of its own.
func asked(c *http.Client, url string) <-chan answer {
	got := make(chan answer, 1)
	go func() {
		resp, err := c.Get(url)
		if err != nil {
			got <- answer{nil, err}
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		got <- answer{b, err}
	}()
	return got
}

// body reads an answer.
func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Errorf("after %d bytes: %v", len(b), err)
	}
	return string(b)
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body(t, resp)
}

func TestHello(t *testing.T) {
	r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.WriteString("hello") }})
	resp, b := get(t, client(t), r.url+"/")
	if resp.StatusCode != 200 || resp.Proto != "HTTP/3.0" || b != "hello" {
		t.Errorf("%s %s: %q", resp.Proto, resp.Status, b)
	}
}
