package peers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/escahttp/esca/conn"
)

// tlsConfigs are a server's and a client's.
func tlsConfigs(t *testing.T, protos ...string) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: protos},
		&tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: protos}
}

// transferSize is what TestQUIC sends: ESCA_QUIC_BYTES, or 32 MiB.
func transferSize(t *testing.T) int64 {
	if v := os.Getenv("ESCA_QUIC_BYTES"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			t.Fatalf("ESCA_QUIC_BYTES=%q is not a number", v)
		}
		return n
	}
	return 32 << 20
}

// quic-go, both ends on esca's PacketConn, transfers every byte.
func TestQUIC(t *testing.T) {
	serverTLS, clientTLS := tlsConfigs(t, "transfer")
	size := transferSize(t)
	ln, err := conn.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	st := &quic.Transport{Conn: ln}
	defer st.Close()
	ql, err := st.Listen(serverTLS, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	go func() {
		c, err := ql.Accept(ctx)
		if err != nil {
			return
		}
		s, err := c.OpenUniStreamSync(ctx)
		if err != nil {
			return
		}
		io.Copy(s, io.LimitReader(mathrand.NewChaCha8([32]byte{1}), size))
		s.Close()
	}()
	own, err := conn.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	ct := &quic.Transport{Conn: own}
	defer ct.Close()
	c, err := ct.Dial(ctx, ln.LocalAddr(), clientTLS, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.AcceptUniStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got, want := sha256.New(), sha256.New()
	n, err := io.Copy(got, s)
	if err != nil || n != size {
		t.Fatalf("%d bytes of %d: %v", n, size, err)
	}
	io.Copy(want, io.LimitReader(mathrand.NewChaCha8([32]byte{1}), size))
	if fmt.Sprintf("%x", got.Sum(nil)) != fmt.Sprintf("%x", want.Sum(nil)) {
		t.Error("other bytes have come")
	}
	c.CloseWithError(0, "")
}

// HTTP/3, the server's socket being esca's.
func TestHTTP3(t *testing.T) {
	serverTLS, clientTLS := tlsConfigs(t, http3.NextProtoH3)
	ln, err := conn.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	srv := &http3.Server{TLSConfig: serverTLS, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	client := &http.Client{Transport: tr, Timeout: patience}
	for _, n := range []int{0, 1, 1000, 1 << 20} {
		body := strings.Repeat("x", n)
		res, err := client.Post("https://"+ln.LocalAddr().String(), "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(got) != body {
			t.Errorf("%d bytes of %d: %v", len(got), n, err)
		}
	}
	tr.Close()
	srv.Close()
	<-ended
}
