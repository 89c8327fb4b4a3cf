//go:build linux

package server_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

var bigBody = bytes.Repeat([]byte("0123456789abcde\n"), 4096)

// tellAll answers with all that it was told, so that two that read a stream
// differently answer it differently.
func tellAll(ctx *fasthttp.RequestCtx) {
	var body []byte
	var err error
	if !ctx.Request.IsBodyStream() {
		body = ctx.Request.Body()
	} else {
		switch string(ctx.Path()) {
		case "/unread":
		case "/part":
			body = make([]byte, 3)
			_, err = io.ReadFull(ctx.RequestBodyStream(), body)
		default:
			body, err = io.ReadAll(ctx.RequestBodyStream())
		}
	}
	tell := func(w io.Writer) {
		fmt.Fprintf(w, "%d: %s %q %q host=%q close=%v length=%d\n", ctx.ConnRequestNum(), ctx.Method(), ctx.RequestURI(), ctx.Request.Header.Protocol(),
			ctx.Host(), ctx.Request.Header.ConnectionClose(), ctx.Request.Header.ContentLength())
		for k, v := range ctx.Request.Header.All() {
			fmt.Fprintf(w, "%q: %q\n", k, v)
		}
		fmt.Fprintf(w, "body %d %x %v\n", len(body), sha256.Sum256(body), err)
	}
	switch string(ctx.Path()) {
	case "/304":
		ctx.NotModified()
	case "/204":
		ctx.SetStatusCode(204)
	case "/100":
		ctx.SetStatusCode(100)
	case "/big":
		ctx.SetBody(bigBody)
	case "/stream":
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
			for i := range 5 {
				fmt.Fprintf(w, "part %d\n", i)
			}
		})
	case "/sized":
		ctx.SetBodyStream(bytes.NewReader(bigBody[:5000]), 5000)
	case "/short":
		ctx.SetBodyStream(strings.NewReader("less than said"), 100)
	case "/nothing":
	case "/nil":
		ctx.SetBodyStream(strings.NewReader(""), -1)
	case "/error":
		ctx.Error("an error", 500)
	case "/timeout":
		ctx.TimeoutError("too late")
	case "/redirect":
		ctx.Redirect("/elsewhere", 302)
	case "/close":
		ctx.SetConnectionClose()
	case "/hijack":
		ctx.HijackSetNoResponse(string(ctx.QueryArgs().QueryString()) == "silent")
		ctx.Hijack(func(c net.Conn) { io.Copy(c, c) })
		tell(ctx)
	default:
		tell(ctx)
	}
}

// configurations are how the servers are set up.
var configurations = []struct {
	name string
	set  func(*fasthttp.Server)
}{
	{"default", func(*fasthttp.Server) {}},
	{"StreamRequestBody", func(fs *fasthttp.Server) { fs.StreamRequestBody = true }},
	{"ReduceMemoryUsage", func(fs *fasthttp.Server) { fs.ReduceMemoryUsage = true }},
	{"MaxRequestsPerConn", func(fs *fasthttp.Server) { fs.MaxRequestsPerConn = 3 }},
	{"DisableKeepalive", func(fs *fasthttp.Server) { fs.DisableKeepalive = true }},
	{"GetOnly", func(fs *fasthttp.Server) { fs.GetOnly = true }},
	{"names", func(fs *fasthttp.Server) {
		fs.Name, fs.DisableHeaderNamesNormalizing, fs.NoDefaultDate, fs.NoDefaultContentType = "n", true, true, true
	}},
	{"buffers", func(fs *fasthttp.Server) { fs.ReadBufferSize, fs.WriteBufferSize = 8192, 1024 }},
	{"hooks", func(fs *fasthttp.Server) {
		fs.LogAllErrors = true
		fs.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) { ctx.Error(fmt.Sprintf("%T: %v", err, err), 400) }
		fs.ContinueHandler = func(h *fasthttp.RequestHeader) bool { return string(h.RequestURI()) != "/denied" }
	}},
	{"ExpectHandler", func(fs *fasthttp.Server) {
		fs.ExpectHandler = func(ctx *fasthttp.RequestCtx) int {
			if string(ctx.Path()) == "/denied" {
				return 413
			}
			return 100
		}
	}},
}

// manner is how streams are sent.
type manner struct {
	halfClose bool // the client ends its side behind the stream; else it waits for the server to
	split     bool // in several writes
	await     bool // and each only when the server has read the one before
}

// outcome is all that can be seen of a connection.
type outcome struct {
	received string // by the client
	states   string // by the ConnState hook
	logged   string
}

// bench is a server of which the outcomes are collected.
type testBench struct {
	*running
	log *lines

	mu    sync.Mutex
	ended sync.Cond           // some connection has reached its last state
	conns map[string]net.Conn // by the client's address
	seqs  map[string]string   // the states, likewise
}

func newTestBench(t *testing.T, st stack, set func(*fasthttp.Server)) *testBench {
	b := &testBench{log: new(lines), conns: make(map[string]net.Conn), seqs: make(map[string]string)}
	b.ended.L = &b.mu
	fs := &fasthttp.Server{Handler: tellAll, MaxRequestBodySize: bodyLimit, Logger: b.log}
	fs.ConnState = func(c net.Conn, to fasthttp.ConnState) {
		addr := c.RemoteAddr().String()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.conns[addr] = c
		b.seqs[addr] += to.String() + " "
		if to == fasthttp.StateClosed || to == fasthttp.StateHijacked {
			b.ended.Broadcast()
		}
	}
	set(fs)
	b.running = st.start(t, fs)
	return b
}

// run sends every stream, many at once, and returns the outcomes.
func (b *testBench) run(t *testing.T, all []stream, m manner) []outcome {
	out := make([]outcome, len(all))
	addrs := make([]string, len(all))
	var wg sync.WaitGroup
	limit := make(chan bool, 200)
	for i, s := range all {
		limit <- true
		wg.Add(1)
		go func() {
			defer func() { <-limit; wg.Done() }()
			var err error
			out[i].received, addrs[i], err = b.play(i, s, m)
			if err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
		}()
	}
	wg.Wait()
	b.stop(t)
	// fasthttp does not count a connection any more when it logs its error and
	// then, at last, tells of its end.
	for _, addr := range addrs {
		b.awaitEnd(t, addr)
	}
	logged := make(map[string]string)
	for _, line := range b.log.snapshot() {
		client := logLine.FindStringSubmatch(line)
		if client == nil {
			t.Errorf("logged without an address: %q", line)
			continue
		}
		line = maskAddrs(line)
		if m.split {
			line = bufferText.ReplaceAllString(line, "")
		}
		logged[client[1]] += line + "\n"
	}
	for i, addr := range addrs {
		out[i].states, out[i].logged = b.seqs[addr], logged[addr]
	}
	return out
}

// play sends stream number i and returns what comes back. Each comes from an
// address of its own: ports alone come round again.
func (b *testBench) play(i int, s stream, m manner) (received, addr string, err error) {
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}}
	c, err := from.Dial("tcp4", b.addr)
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(generous))
	addr = c.LocalAddr().String()
	written := make(chan error, 1)
	go func() {
		for i, p := range s.pieces() {
			if m.await && i > 0 {
				b.awaitRead(addr)
			}
			if _, err := io.WriteString(c, p); err != nil {
				written <- err
				return
			}
		}
		if m.halfClose {
			c.(*net.TCPConn).CloseWrite()
		}
		written <- nil
	}()
	got, err := io.ReadAll(c)
	// How a connection ends is the kernel's: it resets when the server closes
	// with bytes unread, be it that they have come already or that they come
	// later.
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return "", "", fmt.Errorf("%w after %q", err, got)
	}
	if err := <-written; errors.Is(err, os.ErrDeadlineExceeded) {
		return "", "", err
	}
	return maskAddrs(maskDate(string(got))), addr, nil
}

// awaitEnd waits until the hook has been told that a connection ended.
func (b *testBench) awaitEnd(t *testing.T, addr string) {
	late := time.AfterFunc(generous, b.ended.Broadcast)
	defer late.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for start := time.Now(); !strings.HasSuffix(b.seqs[addr], "ed "); b.ended.Wait() {
		if time.Since(start) >= generous {
			t.Errorf("the hook was told no end, but %q", b.seqs[addr])
			return
		}
	}
}

// awaitRead waits until the server has read what was sent, for a moment: it may
// be one that does not read any more.
func (b *testBench) awaitRead(addr string) {
	for end := time.Now().Add(5 * time.Millisecond); time.Now().Before(end); {
		b.mu.Lock()
		c := b.conns[addr]
		b.mu.Unlock()
		if c == nil { // not accepted yet
			runtime.Gosched()
			continue
		}
		raw, err := c.(syscall.Conn).SyscallConn()
		if err != nil {
			return
		}
		unread := 0
		if err := raw.Control(func(fd uintptr) { unread, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }); err != nil || unread == 0 {
			return
		}
		runtime.Gosched()
	}
}

var (
	// What fasthttp had read when it found an error depends on when it looked.
	bufferText = regexp.MustCompile(`(?s)( in "| of request "|: buffer size=).*`)
	logLine    = regexp.MustCompile(`<->"([^"]*)"`)
)

// compare has every stack answer the streams as fasthttp does.
func compare(t *testing.T, all []stream, m manner, set func(*fasthttp.Server)) {
	want := newTestBench(t, reference, set).run(t, all, m)
	for _, st := range escas() {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			wrong := 0
			for i, got := range newTestBench(t, st, set).run(t, all, m) {
				if got == want[i] {
					continue
				}
				if wrong++; wrong > 10 {
					continue
				}
				s := all[i]
				t.Errorf("%s (%s)\n got %s\nwant %s", s.name, clip(s.data), got, want[i])
			}
			if wrong > 10 {
				t.Errorf("%d of %d differ", wrong, len(all))
			}
		})
	}
}

func (o outcome) String() string {
	return fmt.Sprintf("%s\n     states %s\n     logged %s", clip(o.received), o.states, clip(o.logged))
}

func clip(s string) string {
	if len(s) > 800 {
		return fmt.Sprintf("%q ... %q (%d bytes)", s[:500], s[len(s)-200:], len(s))
	}
	return fmt.Sprintf("%q", s)
}

func TestDifferential(t *testing.T) {
	all := streams()
	if len(all) < 300 {
		t.Fatalf("%d streams", len(all))
	}
	names := make(map[string]bool)
	for _, s := range all {
		if names[s.name] {
			t.Errorf("two streams are called %s", s.name)
		}
		names[s.name] = true
	}
	for _, cfg := range configurations {
		t.Run(cfg.name, func(t *testing.T) { compare(t, all, manner{halfClose: true}, cfg.set) })
	}
}

// Without the end of the client's side a server that waits for more has to
// time out.
func TestDifferentialTimeouts(t *testing.T) {
	for _, cfg := range configurations {
		switch cfg.name {
		case "default", "StreamRequestBody", "ReduceMemoryUsage", "hooks":
			t.Run(cfg.name, func(t *testing.T) {
				t.Parallel()
				var all []stream
				for _, s := range streams() {
					if !strings.Contains(s.data, "/hijack") { // whose connections have no timeouts
						all = append(all, s)
					}
				}
				compare(t, all, manner{}, func(fs *fasthttp.Server) {
					cfg.set(fs)
					fs.ReadTimeout = 5 * time.Second // for who sends everything it is more than enough, however busy the machine
				})
			})
		}
	}
}

func TestDifferentialSplits(t *testing.T) {
	var all []stream
	for _, s := range splitStreams {
		all = append(all, s.atEveryByte()...)
		all = append(all, s.dripped())
	}
	for _, cfg := range configurations[:3] {
		t.Run(cfg.name, func(t *testing.T) { compare(t, all, manner{halfClose: true, split: true, await: true}, cfg.set) })
	}
}

func TestDifferentialDripped(t *testing.T) {
	var all []stream
	for _, s := range streams() {
		// When a body ends between two chunks fasthttp drops what it has not
		// flushed, and it has flushed if it waited for the next byte.
		dropped := strings.HasPrefix(s.data, get+chunked[:20]) && strings.HasSuffix(s.data, " world\r\n")
		if len(s.data) < 1000 && !dropped {
			all = append(all, s.dripped())
		}
	}
	compare(t, all, manner{halfClose: true, split: true}, func(*fasthttp.Server) {})
}
