//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/panjf2000/gnet/v2"
)

// echo sends back what it gets.
func echo(c gnet.Conn) gnet.Action {
	b, _ := c.Next(-1)
	c.Write(b)
	return gnet.None
}

func TestGnetEcho(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		for _, network := range []string{"tcp", "tcp4", "unix"} {
			for _, opts := range [][]gnet.Option{
				nil,
				{gnet.WithMulticore(true), gnet.WithReusePort(true)},
				{gnet.WithNumEventLoop(3), gnet.WithLoadBalancing(gnet.LeastConnections)},
				{gnet.WithNumEventLoop(2), gnet.WithLoadBalancing(gnet.SourceAddrHash), gnet.WithEdgeTriggeredIO(true), gnet.WithReadBufferCap(2000)},
				{gnet.WithLockOSThread(true), gnet.WithEdgeTriggeredIOChunk(100_000)},
			} {
				r := start(t, e, &app{traffic: echo}, []string{network}, opts...)
				const conns = 10
				var all sync.WaitGroup
				for i := range conns {
					all.Go(func() { exchange(t, r.dial(0), uint64(i)) })
				}
				all.Wait()
				for i := range conns {
					r.until(i, "open traffic close:eof")
				}
				r.stop()
				r.until(-1, "boot shutdown")
			}
		}
	})
}

// exchange sends a stream that no other connection has, expects it back, and ends it.
func exchange(t *testing.T, c net.Conn, seed uint64) {
	want := make([]byte, 300_000)
	rnd := rand.New(rand.NewPCG(seed, 7))
	for i := range want {
		want[i] = byte(rnd.Uint32())
	}
	go func() {
		for rest := want; len(rest) > 0; {
			n := min(1+rnd.IntN(60_000), len(rest))
			if _, err := c.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("stream %d: %d bytes of %d, %v, equal: %v", seed, n, len(want), err, bytes.Equal(got, want))
	}
	c.Close()
}

// framed answers frames of a length and a text, however they are cut.
func framed(c gnet.Conn) gnet.Action {
	for {
		head, err := c.Peek(4)
		if errors.Is(err, io.ErrShortBuffer) {
			return gnet.None
		}
		n := int(binary.BigEndian.Uint32(head))
		if n > 1<<20 {
			return gnet.Close
		}
		if c.InboundBuffered() < 4+n {
			return gnet.None
		}
		c.Discard(4)
		body, _ := c.Next(n)
		if n == 0 {
			body = nil
		}
		answer := binary.BigEndian.AppendUint32(nil, uint32(n))
		c.Writev([][]byte{answer, bytes.ToUpper(body)})
	}
}

func TestGnetLengthPrefixed(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		r := start(t, e, &app{traffic: framed}, []string{"tcp"})
		var sent, want []byte
		for _, text := range []string{"a", "hello, world", strings.Repeat("x", 70_000), "end"} {
			sent = append(binary.BigEndian.AppendUint32(sent, uint32(len(text))), text...)
			want = append(binary.BigEndian.AppendUint32(want, uint32(len(text))), strings.ToUpper(text)...)
		}
		for cut := range 40 {
			c := r.dial(0)
			c.Write(sent[:cut])
			c.Write(sent[cut : len(sent)-cut])
			c.Write(sent[len(sent)-cut:])
			mustRead(t, c, string(want))
			c.Close()
			events := "open traffic close:eof"
			r.until(cut, events)
		}
		c := r.dial(0)
		mustWrite(t, c, "\xff\xff\xff\xff") // of a length that is refused
		mustEnd(t, c)
		r.until(40, "open traffic close:nil")
	})
}

// httpApp is an HTTP/1.1 server by hand.
func httpApp(c gnet.Conn) gnet.Action {
	for {
		b, _ := c.Peek(-1)
		if !bytes.Contains(b, []byte("\r\n\r\n")) {
			return gnet.None
		}
		src := bytes.NewReader(b)
		br := bufio.NewReaderSize(src, 1)
		req, err := http.ReadRequest(br)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(req.Body)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return gnet.None
		}
		if err != nil {
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
			return gnet.Close
		}
		c.Discard(len(b) - src.Len() - br.Buffered())
		text := fmt.Sprintf("%s %s %d", req.Method, req.URL, len(body))
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		if req.Close {
			return gnet.Close
		}
	}
}

func TestGnetHTTP(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		r := start(t, e, &app{traffic: httpApp}, []string{"tcp"}, gnet.WithNumEventLoop(2))
		client := &http.Client{Transport: new(http.Transport), Timeout: generous}
		defer client.CloseIdleConnections()
		for i := range 20 {
			body := strings.Repeat("b", i*10_000)
			resp, err := client.Post("http://"+hostPort(r.addr[0])+"/p", "text/plain", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := fmt.Sprintf("POST /p %d", len(body)); err != nil || string(got) != want {
				t.Fatalf("%q, %v; want %q", got, err, want)
			}
		}
		// Pipelined, one cut in two, the last with an end.
		c := r.dial(0)
		mustWrite(t, c, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHo")
		mustWrite(t, c, "st: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		got, err := io.ReadAll(c)
		if want := []string{"GET /1 0", "GET /2 0", "GET /3 0"}; err != nil || strings.Count(string(got), "200 OK") != 3 || !inOrder(string(got), want) {
			t.Fatalf("%q, %v", got, err)
		}
		c = r.dial(0)
		mustWrite(t, c, "nonsense\r\n\r\n")
		mustRead(t, c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
}

func inOrder(s string, parts []string) bool {
	for _, p := range parts {
		_, rest, ok := strings.Cut(s, p)
		if !ok {
			return false
		}
		s = rest
	}
	return true
}

func TestGnetUDPEcho(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		a := &app{traffic: func(c gnet.Conn) gnet.Action {
			b, _ := c.Next(-1)
			c.SendTo(append([]byte("to:"), b...), c.RemoteAddr())
			c.Write(b)
			return gnet.None
		}}
		r := start(t, e, a, []string{"udp"})
		c := r.dial(0)
		for i := range 50 {
			want := fmt.Sprintf("datagram %d", i)
			mustWrite(t, c, want)
			b := make([]byte, 100)
			for _, want := range []string{"to:" + want, want} {
				n, err := c.Read(b)
				if err != nil || string(b[:n]) != want {
					t.Fatalf("%q, %v; want %q", b[:n], err, want)
				}
			}
		}
	})
}

// TestGnetChat has every line go to everybody, by goroutines of the application.
func TestGnetChat(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		const members, lines = 8, 40
		var mu sync.Mutex
		in := make(map[gnet.Conn]bool)
		var called sync.WaitGroup
		called.Add(members * members * lines)
		a := &app{
			open: func(c gnet.Conn) ([]byte, gnet.Action) {
				mu.Lock()
				in[c] = true
				mu.Unlock()
				return []byte("welcome\n"), gnet.None
			},
			close: func(c gnet.Conn, _ error) gnet.Action {
				mu.Lock()
				delete(in, c)
				mu.Unlock()
				return gnet.None
			},
			traffic: func(c gnet.Conn) gnet.Action {
				b, _ := c.Peek(-1)
				end := bytes.LastIndexByte(b, '\n') + 1
				if end == 0 {
					return gnet.None
				}
				text := bytes.Clone(b[:end])
				c.Discard(end)
				said := make(chan struct{})
				go func() { // one after the other, so that each one's lines stay in order
					defer close(said)
					mu.Lock()
					defer mu.Unlock()
					for m := range in {
						lines := bytes.Count(text, []byte("\n"))
						m.AsyncWrite(text, func(_ gnet.Conn, err error) error {
							if err != nil {
								t.Error(err)
							}
							called.Add(-lines)
							return nil
						})
					}
				}()
				<-said
				return gnet.None
			},
		}
		r := start(t, e, a, []string{"tcp"}, gnet.WithNumEventLoop(2))
		var conns []net.Conn
		var readers []*bufio.Reader
		for range members {
			c := r.dial(0)
			conns = append(conns, c)
			readers = append(readers, bufio.NewReader(c))
			if line, err := readers[len(readers)-1].ReadString('\n'); err != nil || line != "welcome\n" {
				t.Fatalf("%q, %v", line, err)
			}
		}
		var all sync.WaitGroup
		for i, c := range conns {
			all.Go(func() {
				for n := range lines {
					fmt.Fprintf(c, "%d %d\n", i, n)
				}
			})
			all.Go(func() {
				var next [members]int
				for range members * lines {
					line, err := readers[i].ReadString('\n')
					var from, n int
					if _, serr := fmt.Sscanf(line, "%d %d\n", &from, &n); err != nil || serr != nil || n != next[from] {
						t.Errorf("member %d got %q, %v, and expected line %d of %d", i, line, err, next[from], from)
						return
					}
					next[from]++
				}
			})
		}
		all.Wait()
		called.Wait()
		for i := range conns {
			conns[i].Close()
		}
		for i := range members {
			r.until(i, "open traffic close:eof")
		}
	})
}
