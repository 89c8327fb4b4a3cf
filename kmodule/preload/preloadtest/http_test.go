//go:build linux && amd64

package preloadtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// site is a directory of files and what is in them.
type site struct {
	dir   string
	names []string
	sum   map[string][32]byte
	size  map[string]int
}

var sizes = []int{1, 100, 1023, 1024, 4000, 4096, 8191, 8192, 8193, 20 << 10, 64 << 10, 65537, 200 << 10, 1 << 20}

func makeSite(t *testing.T, sizes ...int) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), sum: map[string][32]byte{}, size: map[string]int{}}
	for d := s.dir; d != "/"; d = filepath.Dir(d) { // servers give up root
		if fi, err := os.Stat(d); err == nil && fi.Mode()&0o005 != 0o005 {
			os.Chmod(d, 0o755)
		}
	}
	rng := rand.NewChaCha8([32]byte{1})
	for _, n := range sizes {
		name := fmt.Sprintf("f%d.bin", n)
		b := make([]byte, n)
		rng.Read(b)
		if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
		s.names = append(s.names, name)
		s.sum[name], s.size[name] = sha256.Sum256(b), n
	}
	return s
}

// visitor is one client of a site.
type visitor struct {
	site  *site
	addr  string
	tls   bool
	rng   *rand.Rand
	small int // bytes of the largest file it asks for; 0: any
}

func (v *visitor) pick() string {
	for {
		name := v.site.names[v.rng.IntN(len(v.site.names))]
		if v.small == 0 || v.site.size[name] <= v.small {
			return name
		}
	}
}

func (v *visitor) dial(rcvbuf int) (net.Conn, error) {
	d := net.Dialer{Timeout: 30 * time.Second}
	c, err := d.Dial("tcp", v.addr)
	if err != nil {
		return nil, err
	}
	if rcvbuf > 0 {
		c.(*net.TCPConn).SetReadBuffer(rcvbuf)
	}
	c.SetDeadline(time.Now().Add(60 * time.Second))
	if v.tls {
		return tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}), nil
	}
	return c, nil
}

func request(name, more string) string {
	return "GET /" + name + " HTTP/1.1\r\nHost: esca\r\n" + more + "\r\n"
}

func (v *visitor) answer(r *bufio.Reader, name string) error {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer resp.Body.Close()
	h := sha256.New()
	body := io.Reader(resp.Body)
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	n, err := io.Copy(h, body)
	if err != nil {
		return fmt.Errorf("%s: after %d bytes of the body: %w", name, n, err)
	}
	if resp.StatusCode != 200 {
		return fmt.Errorf("%s: %s", name, resp.Status)
	}
	if [32]byte(h.Sum(nil)) != v.site.sum[name] {
		return fmt.Errorf("%s: the body is not the file's (%d bytes)", name, n)
	}
	return nil
}

// The ways to behave. Each is one connection, or a few in a row.

func (v *visitor) keepAlive(n int, more string) error {
	c, err := v.dial(0)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for range n {
		name := v.pick()
		if _, err := io.WriteString(c, request(name, more)); err != nil {
			return err
		}
		if err := v.answer(r, name); err != nil {
			return err
		}
	}
	return nil
}

func (v *visitor) closing(n int) error {
	for range n {
		c, err := v.dial(0)
		if err != nil {
			return err
		}
		name := v.pick()
		io.WriteString(c, request(name, "Connection: close\r\n"))
		r := bufio.NewReader(c)
		err = v.answer(r, name)
		if err == nil {
			if _, end := r.ReadByte(); end != io.EOF {
				err = fmt.Errorf("%s: behind the answer: %v", name, end)
			}
		}
		c.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *visitor) pipelined(n, rcvbuf int, more string) error {
	c, err := v.dial(rcvbuf)
	if err != nil {
		return err
	}
	defer c.Close()
	var names []string
	var all bytes.Buffer
	for i := range n {
		names = append(names, v.pick())
		if i < n-1 {
			all.WriteString(request(names[i], ""))
		} else {
			all.WriteString(request(names[i], more))
		}
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(all.Bytes())
		sent <- err
	}()
	if rcvbuf > 0 {
		<-sent // all the requests before the first answer is looked at
		sent <- nil
	}
	r := bufio.NewReaderSize(c, 512)
	for _, name := range names {
		if err := v.answer(r, name); err != nil {
			return err
		}
	}
	return <-sent
}

func (v *visitor) aborting(n int) error {
	for range n {
		c, err := v.dial(4096)
		if err != nil {
			return err
		}
		for range 1 + v.rng.IntN(4) {
			io.WriteString(c, request(v.pick(), ""))
		}
		io.CopyN(io.Discard, c, int64(v.rng.IntN(200))) // fewer than any answer has
		if tc, ok := c.(*net.TCPConn); ok && v.rng.IntN(2) == 0 {
			tc.SetLinger(0)
		}
		c.Close()
	}
	return nil
}

func (v *visitor) halfClosed() error {
	c, err := v.dial(0)
	if err != nil {
		return err
	}
	defer c.Close()
	v.small = 70000 // nginx gives up who has half closed, while there is no room for the rest
	name := v.pick()
	io.WriteString(c, request(name, "Connection: close\r\n"))
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		h.CloseWrite()
	}
	return v.answer(bufio.NewReader(c), name)
}

// crowd has conns clients at once visit the site, each in a way of its own; an eighth of
// them with -short.
func crowd(t *testing.T, s *site, addr string, secure bool, conns, requests int, seed uint64, halfClose bool) {
	t.Helper()
	if testing.Short() {
		conns, requests = max(conns/8, 8), max(requests/2, 4)
	}
	var wg sync.WaitGroup
	errs := make(chan error, conns)
	for i := range conns {
		v := &visitor{site: s, addr: addr, tls: secure, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		wg.Go(func() {
			var err error
			var how string
			switch i % 8 {
			default:
				how, err = "keep-alive", v.keepAlive(requests, "")
			case 1:
				how, err = "close", v.closing(1+requests/4)
			case 2:
				how, err = "pipelined", v.pipelined(requests, 0, "")
			case 3: // what fills the socket, not what takes minutes through its little window
				v.small = 70000
				how, err = "slow", v.pipelined(requests, 16384, "Connection: close\r\n")
			case 4:
				how, err = "aborting", v.aborting(1+requests/4)
			case 5:
				if how = "half-closed"; halfClose {
					err = v.halfClosed()
				}
			case 7:
				how, err = "gzip", v.keepAlive(requests, "Accept-Encoding: gzip\r\n")
			case 6:
				v.small = 5000
				how, err = "small, pipelined", v.pipelined(4*requests, 16384, "")
			}
			if err != nil {
				errs <- fmt.Errorf("%s: %w", how, err)
			}
		})
	}
	wg.Wait()
	close(errs)
	shown := 0
	for err := range errs {
		if shown++; shown <= 5 {
			t.Error(err)
		}
	}
}

// transcript is what a server says to a fixed dialogue, without what time does to it.
func transcript(t *testing.T, s *site, addr string, secure bool) []byte {
	t.Helper()
	var all bytes.Buffer
	ask := func(what string) {
		c, err := (&visitor{addr: addr, tls: secure}).dial(0)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, what)
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadBytes('\n')
			if !bytes.HasPrefix(line, []byte("Date: ")) && !bytes.HasPrefix(line, []byte("date: ")) {
				all.Write(line)
			}
			if err != nil {
				fmt.Fprintf(&all, "\n[%v]\n", err)
				return
			}
		}
	}
	for _, name := range s.names {
		ask(request(name, "Connection: close\r\n"))
		ask("HEAD /" + name + " HTTP/1.1\r\nHost: esca\r\nConnection: close\r\n\r\n")
		ask(request(name, "Connection: close\r\nRange: bytes=0-9\r\n"))
		ask("GET /" + name + " HTTP/1.0\r\n\r\n")
	}
	ask(request("missing", "Connection: close\r\n"))
	ask(request("f100.bin", "") + request("f8192.bin", "") + request("missing", "") + request("f1.bin", "Connection: close\r\n"))
	ask("NONSENSE\r\n\r\n")
	ask("POST /f1.bin HTTP/1.1\r\nHost: esca\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
	return all.Bytes()
}

// same fails if two transcripts are not.
func same(t *testing.T, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	t.Errorf("other answers than without, from byte %d on:\n got %q\nwant %q", i, got[max(0, i-200):min(len(got), i+200)], want[max(0, i-200):min(len(want), i+200)])
}
