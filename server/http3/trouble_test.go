package http3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	qhttp3 "github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/server"
	"github.com/escahttp/esca/server/http3"
)

// head sends a HEADERS frame of these fields on a stream of its own, and reports what comes
// back: the status, or the code of a reset.
func head(t *testing.T, c *quic.Conn, fields ...string) (status string, code qhttp3.ErrCode) {
	t.Helper()
	return headAndBody(t, c, "", fields...)
}

// headAndBody is head with a DATA frame behind it.
func headAndBody(t *testing.T, c *quic.Conn, data string, fields ...string) (status string, code qhttp3.ErrCode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), generous)
	defer cancel()
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	enc := qpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		enc.WriteField(qpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	s.SetDeadline(time.Now().Add(generous))
	s.Write(append(quicvarint.Append(quicvarint.Append(nil, 1), uint64(block.Len())), block.Bytes()...))
	if data != "" {
		s.Write(append(quicvarint.Append(quicvarint.Append(nil, 0), uint64(len(data))), data...))
	}
	s.Close()
	b, err := io.ReadAll(s)
	var reset *quic.StreamError
	if errors.As(err, &reset) {
		return "", qhttp3.ErrCode(reset.ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
	kind, n, err := quicvarint.Parse(b)
	if err != nil || kind != 1 {
		t.Fatalf("frame %d, %v", kind, err)
	}
	length, m, err := quicvarint.Parse(b[n:])
	if err != nil {
		t.Fatal(err)
	}
	next := qpack.NewDecoder().Decode(b[n+m:][:length])
	for {
		f, err := next()
		if err != nil {
			t.Fatal("no :status")
		}
		if f.Name == ":status" {
			return f.Value, 0
		}
	}
}

// What would be read otherwise in HTTP/1.1 than it was meant does not get there.
func TestHostileHeads(t *testing.T) {
	asked := make(chan string, 100)
	r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		asked <- string(ctx.Method()) + " " + string(ctx.RequestURI()) + " " + string(ctx.Host())
	}})
	c, _ := r.dial(t)
	request := func(method, scheme, authority, path string, more ...string) []string {
		return append([]string{":method", method, ":scheme", scheme, ":authority", authority, ":path", path}, more...)
	}
	for name, tt := range map[string]struct {
		fields []string
		good   bool
	}{
		"as it should be":          {request("GET", "https", "x", "/a?b"), true},
		"OPTIONS *":                {request("OPTIONS", "https", "x", "*"), true},
		"host in the place of it":  {[]string{":method", "GET", ":scheme", "https", ":path", "/", "host", "x"}, true},
		"host and authority":       {request("GET", "https", "x", "/", "host", "x"), true},
		"another host":             {request("GET", "https", "x", "/", "host", "y"), false},
		"two hosts":                {request("GET", "https", "x", "/", "host", "x", "host", "x"), false},
		"a method with a space":    {request("GET /x HTTP/1.1", "https", "x", "/"), false},
		"a method with a line end": {request("GET\r\n", "https", "x", "/"), false},
		"no method":                {request("", "https", "x", "/"), false},
		"a path with a space":      {request("GET", "https", "x", "/ HTTP/1.1"), false},
		"a path with a tab":        {request("GET", "https", "x", "/\tx"), false},
		"a path with a line end":   {request("GET", "https", "x", "/ HTTP/1.1\r\nX: y"), false},
		"a path without a slash":   {request("GET", "https", "x", "a"), false},
		"a URL as a path":          {request("GET", "https", "x", "http://y/"), false},
		"GET *":                    {request("GET", "https", "x", "*"), false},
		"no path":                  {request("GET", "https", "x", ""), false},
		"another scheme":           {request("GET", "ftp", "x", "/"), true}, // quic-go does not tell it
		"a host with a space":      {request("GET", "https", "x y", "/"), false},
		"a host with a line end":   {request("GET", "https", "x\r\nX: y", "/"), false},
		"a host with a slash":      {request("GET", "https", "x/y", "/"), false},
		"a user":                   {request("GET", "https", "u@x", "/"), false},
		"no host":                  {[]string{":method", "GET", ":scheme", "https", ":path", "/"}, false},
		"an unknown pseudo field":  {request("GET", "https", "x", "/", ":x", "y"), false},
		"a status":                 {append([]string{":status", "200"}, request("GET", "https", "x", "/")...), false},
		"a pseudo field behind":    {[]string{":method", "GET", ":scheme", "https", ":authority", "x", "a", "b", ":path", "/"}, false},
		"twice":                    {append([]string{":path", "/"}, request("GET", "https", "x", "/")...), false},
		"upper case":               {request("GET", "https", "x", "/", "X-A", "b"), false},
		"a name with a colon":      {request("GET", "https", "x", "/", "a:b", "c"), false},
		"a name with a line end":   {request("GET", "https", "x", "/", "a\r\nb", "c"), false},
		"a value with a line end":  {request("GET", "https", "x", "/", "a", "b\r\nx: y"), false},
		"a value with a NUL":       {request("GET", "https", "x", "/", "a", "b\x00"), false},
		"connection":               {request("GET", "https", "x", "/", "connection", "close"), false},
		"transfer-encoding":        {request("POST", "https", "x", "/", "transfer-encoding", "chunked"), false},
		"upgrade":                  {request("GET", "https", "x", "/", "upgrade", "h2c"), false},
		"te":                       {request("GET", "https", "x", "/", "te", "gzip"), false},
		"lengths that differ":      {request("POST", "https", "x", "/", "content-length", "0", "content-length", "1"), false},
		"a length that is none":    {request("POST", "https", "x", "/", "content-length", "+1"), false},
		"a length below zero":      {request("POST", "https", "x", "/", "content-length", "-1"), false},
		"a length and nothing":     {request("POST", "https", "x", "/", "content-length", "5"), false},
		"CONNECT":                  {[]string{":method", "CONNECT", ":authority", "x:1"}, true},
		"CONNECT with a path":      {[]string{":method", "CONNECT", ":authority", "x:1", ":scheme", "https", ":path", "/"}, false},
		"CONNECT for a protocol":   {[]string{":method", "CONNECT", ":protocol", "websocket", ":authority", "x", ":scheme", "https", ":path", "/"}, false},
		"a protocol for a GET":     {request("GET", "https", "x", "/", ":protocol", "websocket"), false},
		"a trailer that is none":   {request("GET", "https", "x", "/", "trailer", "content-length"), false},
	} {
		t.Run(name, func(t *testing.T) {
			status, code := head(t, c, tt.fields...)
			if good := status == "200"; good != tt.good {
				t.Errorf("status %s, reset %v", status, code)
			}
			select {
			case got := <-asked:
				if !tt.good {
					t.Errorf("a handler got %q", got)
				}
			default:
				if tt.good {
					t.Error("no handler got it")
				}
			}
		})
	}
	if err := c.Context().Err(); err != nil {
		t.Errorf("the connection has ended: %v", context.Cause(c.Context()))
	}
}

// A body that is not as long as was said is no request, nor is one that ends in the middle.
func TestBodiesThatLie(t *testing.T) {
	r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.Write(ctx.Request.Body()) }})
	c, _ := r.dial(t)
	for name, sent := range map[string]string{"too little": "ab", "too much": "abcdef", "as said": "abcde"} {
		status, code := headAndBody(t, c, sent, ":method", "POST", ":scheme", "https", ":authority", "x", ":path", "/", "content-length", "5")
		if good := status == "200"; good != (name == "as said") {
			t.Errorf("%s: status %s, reset %v", name, status, code)
		}
	}
}

// A client that resets its stream ends the handler's context, and only that one's.
func TestReset(t *testing.T) {
	began, ended := make(chan bool, 2), make(chan error, 2)
	r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		c := server.Context(ctx)
		if c != server.Context(ctx) {
			t.Error("another context each time")
		}
		switch string(ctx.Path()) {
		case "/wait":
			began <- true
			<-c.Done()
			ended <- context.Cause(c)
		case "/keep":
			go func() { <-c.Done(); ended <- context.Cause(c) }()
		}
	}})
	c := client(t)
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "GET", r.url+"/wait", nil)
	failed := make(chan error, 1)
	go func() { _, err := c.Do(req); failed <- err }()
	within(t, "it is asked", began)
	get(t, c, r.url+"/keep")
	if err := within(t, "the context of an answered request ends", ended); err != context.Canceled {
		t.Errorf("answered: %v", err)
	}
	cancel()
	if err := within(t, "the context ends", ended); !errors.Is(err, server.ErrClientGone) {
		t.Errorf("reset: %v", err)
	}
	within(t, "the client's call", failed)
	if resp, _ := get(t, c, r.url); resp.StatusCode != 200 || r.Stats().Accepted != 1 {
		t.Errorf("then %s, %+v", resp.Status, r.Stats())
	}
}

// A client that resets its streams may not open others before their handlers have ended.
func TestRapidReset(t *testing.T) {
	const streams = 128
	var running, most atomic.Int32
	release := make(chan bool)
	r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
	}})
	c, _ := r.dial(t)
	var block bytes.Buffer
	enc := qpack.NewEncoder(&block)
	for _, f := range []string{":method GET", ":scheme https", ":authority x", ":path /"} {
		name, value, _ := strings.Cut(f, " ")
		enc.WriteField(qpack.HeaderField{Name: name, Value: value})
	}
	frame := append(quicvarint.Append(quicvarint.Append(nil, 1), uint64(block.Len())), block.Bytes()...)
	open := func(s *quic.Stream) {
		s.Write(frame)
		s.Close()
	}
	for i := range streams {
		s, err := c.OpenStream()
		if err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
		open(s)
		eventually(t, "it has a handler", func() bool { return running.Load() == int32(i+1) })
		s.CancelRead(quic.StreamErrorCode(qhttp3.ErrCodeRequestCanceled))
	}
	for range 1000 {
		if s, err := c.OpenStream(); err == nil {
			open(s)
		}
	}
	close(release)
	ctx, cancel := context.WithTimeout(context.Background(), generous)
	defer cancel()
	if _, err := c.OpenStreamSync(ctx); err != nil {
		t.Errorf("when they have ended: %v", err)
	}
	eventually(t, "all handlers end", func() bool { return running.Load() == 0 })
	if n := most.Load(); n > streams {
		t.Errorf("%d handlers at once", n)
	}
}

// A handler that panics, hijacks, closes its connection or runs out of time ends its stream,
// and neither the connection nor the process.
func TestHandlersThatFail(t *testing.T) {
	release := make(chan bool)
	r := start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		switch string(ctx.Path()) {
		case "/panic":
			panic("on purpose")
		case "/exit":
			runtime.Goexit()
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/hijack":
			ctx.Hijack(func(net.Conn) { t.Error("it was hijacked") })
		case "/close":
			ctx.Conn().Close()
		case "/late":
			fasthttp.TimeoutHandler(func(ctx *fasthttp.RequestCtx) {
				<-release
				if _, err := ctx.Conn().Write([]byte("HTTP/1.1 103 Early Hints\r\n\r\n")); err == nil {
					t.Error("a handler whose time is up can write")
				}
				release <- true
			}, time.Millisecond, "too late")(ctx)
		}
	}})
	_, one := r.dial(t)
	c := &http.Client{Transport: one, Timeout: generous}
	for path, says := range map[string]string{"/panic": "on purpose", "/abort": "", "/exit": "", "/close": ""} {
		resp, err := c.Get(r.url + path)
		var reset *qhttp3.Error
		if !errors.As(err, &reset) || reset.ErrorCode != qhttp3.ErrCodeInternalError {
			t.Errorf("%s: %v, %v", path, resp, err)
		}
		if !strings.Contains(r.log.String(), says) {
			t.Errorf("%s: the log says %q", path, r.log)
		}
	}
	if resp, b := get(t, c, r.url+"/hijack"); resp.StatusCode != 505 || !strings.Contains(b, "cannot be hijacked") {
		t.Errorf("/hijack: %s, %q", resp.Status, b)
	}
	if resp, b := get(t, c, r.url+"/late"); resp.StatusCode != 408 || b != "too late" {
		t.Errorf("/late: %s, %q", resp.Status, b)
	}
	release <- true
	within(t, "the late handler ends", release)
	if resp, _ := get(t, c, r.url); resp.StatusCode != 200 || r.Stats().Accepted != 1 {
		t.Errorf("then %s, %+v", resp.Status, r.Stats())
	}
}

// Of a request whose handler has not returned nothing is kept.
func TestHandlersThatFailLeaveNothing(t *testing.T) {
	var freed atomic.Int64
	r := start(t, &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			runtime.SetFinalizer(server.Context(ctx), func(context.Context) { freed.Add(1) }) // the stream has it
			switch string(ctx.Path()) {
			case "/panic":
				panic("on purpose")
			case "/exit":
				runtime.Goexit()
			case "/body":
				ctx.SetBodyStream(panics{}, -1)
			}
		},
	})
	c := client(t)
	paths := []string{"/", "/panic", "/exit", "/body"}
	for _, path := range paths {
		resp, err := c.Get(r.url + path)
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	eventually(t, "what they had is freed", func() bool {
		runtime.GC()
		return freed.Load() == int64(len(paths))
	})
}

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("on purpose") }

// Who cannot be served is told so, and what helps.
func TestErrorsNameTheRemedy(t *testing.T) {
	old := serverTLS()
	old.MaxVersion = 0x0303
	for says, serve := range map[string]func() error{
		"needs a certificate: set": func() error { return http3.New(&fasthttp.Server{}).ListenAndServeTLS("127.0.0.1:0", "", "") },
		"needs TLS 1.3: leave": func() error {
			return http3.New(&fasthttp.Server{TLSConfig: old}).ListenAndServeTLS("127.0.0.1:0", "", "")
		},
		"no/such: no such file": func() error { return http3.ListenAndServeTLS("127.0.0.1:0", "no/such", "no/such", nil) },
		"missing port in address": func() error {
			return http3.New(&fasthttp.Server{TLSConfig: serverTLS()}).ListenAndServeTLS("127.0.0.1", "", "")
		},
	} {
		if err := serve(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
