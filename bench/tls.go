//go:build linux

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/bench/internal/latency"
)

// secure says whether the servers are to speak TLS.
func (c *comparison) secure() bool {
	return slices.ContainsFunc(c.loads, func(l load) bool { return l.tls || l.streams > 0 })
}

// certName is whom the servers' certificate is for.
const certName = "localhost"

// certificate is one for all servers, of the kind that costs least: a P-256 key,
// signed by itself.
func (w *workshop) certificate() (cert, key string, err error) {
	cert, key = filepath.Join(w.dir, "cert.pem"), filepath.Join(w.dir, "key.pem")
	return cert, key, w.once(cert, func() error {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		now := time.Now()
		about := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: certName}, DNSNames: []string{certName},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
		signed, err := x509.CreateCertificate(rand.Reader, about, about, &private.PublicKey, private)
		if err != nil {
			return err
		}
		secret, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return err
		}
		return errors.Join(writePEM(cert, "CERTIFICATE", signed), writePEM(key, "PRIVATE KEY", secret))
	})
}

// clientTLS is what bench asks of a server: TLS 1.3, and the exchange of keys that
// all of them know, as who offers more is answered by the newest with the dearest.
func clientTLS() *tls.Config {
	return &tls.Config{ServerName: certName, InsecureSkipVerify: true, // it is bench's own, made a moment ago
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}
}

// handshakes is a generator of connections with TLS, each for one request, which
// the server closes after its answer. A client is a goroutine.
type handshakes struct {
	generation
	tls  *tls.Config
	next atomic.Int64 // the source address of the next connection

	mu    sync.Mutex
	res   result
	times []time.Duration
}

// errWrongAnswer is what a client reports that got something else.
var errWrongAnswer = errors.New("a wrong answer")

func handshake(g generation) (result, error) {
	h := &handshakes{generation: g, tls: clientTLS()}
	if g.Resume {
		h.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		if _, err := h.once(false); err != nil { // it is what the others resume
			return result{}, fmt.Errorf("the connection to be resumed: %w", err)
		}
	}
	began := time.Now()
	var clients sync.WaitGroup
	for range g.Conns {
		clients.Go(func() {
			for h.goesOn(time.Since(began)) {
				took, err := h.once(g.Resume)
				h.count(took, err)
			}
		})
	}
	clients.Wait()
	h.res.Elapsed = time.Since(began)
	h.res.Percentiles = latency.Of(h.times)
	return h.res, nil
}

func (h *handshakes) count(took time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case errors.Is(err, errWrongAnswer):
		h.res.Wrong++
	case err != nil:
		h.res.Errors++
	default:
		h.res.Requests++
		h.res.Bytes += h.Asks[0].Size
		h.times = append(h.times, took)
	}
}

// once is one connection. It is wrong that one is resumed, or is not, against
// what is asked for.
func (h *handshakes) once(resumed bool) (time.Duration, error) {
	began, asked := time.Now(), &h.Asks[0]
	d := net.Dialer{Timeout: stalled, Control: bindLate,
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+h.next.Add(1)%50))}} // as the other generator's, for the ports
	raw, err := d.Dial("tcp4", h.Addr)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	if err := raw.SetDeadline(began.Add(stalled)); err != nil {
		return 0, err
	}
	c := tls.Client(raw, h.tls)
	if _, err := c.Write(asked.Request); err != nil {
		return 0, err
	}
	answer := make([]byte, asked.Size)
	n, err := io.ReadFull(c, answer)
	if err != nil {
		return 0, err
	}
	more, err := c.Read(make([]byte, 1))
	right := n == len(answer) && more == 0 && errors.Is(err, io.EOF) && c.ConnectionState().DidResume == resumed
	if !right || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) || !bytes.HasSuffix(answer, asked.Body) {
		return 0, errWrongAnswer
	}
	return time.Since(began), nil
}

// bindLate leaves the port to connect(2), which may use one again that another
// destination has.
func bindLate(_, _ string, c syscall.RawConn) error {
	var err error
	if refused := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}); refused != nil {
		return refused
	}
	return err
}

// tls is connections that are kept, and one for each request, with all that makes
// a new one secure or with what both sides remember of an earlier one.
func (b *suiteBuilder) tls() {
	sides := b.both(esca, fasthttpServer, nethttp, nginx)
	for _, l := range []struct {
		name string
		load load
	}{
		{"keep", load{}},
		{"full", load{close: true}},
		{"resumed", load{close: true, resume: true}},
	} {
		l.load.path, l.load.conns, l.load.body, l.load.tls = "/", 50, helloBody, true
		b.add(comparison{name: "tls/" + l.name + "/c50", sides: sides, placement: free, brief: true, loads: []load{l.load}})
	}
}

func writePEM(path, kind string, of []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: of}), 0o600)
}
