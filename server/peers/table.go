//go:build linux

package main

import (
	"regexp"
	"slices"
	"strings"
)

// peer is a module whose tests are run.
type peer struct {
	name, module string
	vars         map[string]string // files to be added: the hooks, which do nothing
	inserts      []insert
	wraps        []wrap
	skip         *regexp.Regexp      // tests that serve nothing and take long, in runs of all files
	parts        map[string][]string // of tests that take long, and have parts that may run at once
	settings     []setting
}

// insert puts text behind a line that a function begins with.
type insert struct{ file, line, text string }

// wrap wraps calls: an expression, and what its first group becomes.
type wrap struct {
	file string
	call *regexp.Regexp
	by   string
}

// setting is one run.
type setting struct {
	name  string
	env   []string // of the test binary
	skip  []string // tests with many parts that others of the runs have
	files []string // whose tests are run; none: all files', but for what the peer skips
}

// settingsOf is a run with listeners made by, and a dispatch and a backend by name.
func settingsOf(listener, dispatch, backend string) setting {
	number := map[string]string{"adaptive": "0", "inline": "1", "goroutine": "2", "direct": "3", "as is": ""}
	s := setting{name: strings.Trim(strings.Join([]string{listener, dispatch, backend}, ","), ",")}
	s.env = []string{"ESCA_PEERS=esca", "ESCA_PEERS_LISTENER=" + listener, "ESCA_PEERS_DISPATCH=" + number[dispatch], "ESCA_BACKEND=" + backend}
	return s
}

// dialling is s with clients on conn.Dial, and the tests of files.
func (s setting) dialling(files []string) setting {
	s.name = "conn.Dial," + s.name
	s.env = append(s.env, "ESCA_PEERS_DIAL=conn.Dial")
	s.files = files
	return s
}

// servedByItself is s with the original's servers.
func (s setting) servedByItself() setting {
	s.env = append(s.env, "ESCA_PEERS=dials")
	return s
}

// without is s without some tests, or parts of them.
func (s setting) without(skip []string) setting {
	s.skip = skip
	return s
}

// skips reports whether a test is not run, as a whole or as a part of one.
func (s setting) skips(test string) bool {
	return slices.ContainsFunc(s.skip, func(name string) bool { return test == name || strings.HasPrefix(test, name+"/") })
}

var peers = []peer{
	{
		name: "fasthttp", module: "github.com/valyala/fasthttp",
		vars: map[string]string{
			"esca_vars.go": `package fasthttp

import (
	"context"
	"net"
)

var (
	EscaDial        = net.Dial
	EscaDialContext = func(d *net.Dialer, ctx context.Context, network, addr string) (net.Conn, error) {
		return d.DialContext(ctx, network, addr)
	}

	EscaServe    = func(*Server, net.Listener) (bool, error) { return false, nil }
	EscaServeTLS = func(*Server, net.Listener, string, string) (bool, error) { return false, nil }
	EscaServeConn = func(net.Conn) {}
)
`,
			"fasthttputil/esca.go": `package fasthttputil

import "net"

// EscaDialed gets what Dial is about to return, and returns it or another.
var EscaDialed = func(c net.Conn, err error) (net.Conn, error) { return c, err }

// EscaAccept is Accept, but who dials goes on when the function returned is called.
func (ln *InmemoryListener) EscaAccept() (net.Conn, func(), error) {
	select {
	case c := <-ln.conns:
		return c.conn, func() { close(c.accepted) }, nil
	case <-ln.done:
		return nil, nil, ErrInmemoryListenerClosed
	}
}
`,
		},
		inserts: []insert{
			{"server.go", "func (s *Server) Serve(ln net.Listener) error {", "if done, err := EscaServe(s, ln); done { return err }"},
			{"server.go", "func (s *Server) ServeTLS(ln net.Listener, certFile, keyFile string) error {", "if done, err := EscaServeTLS(s, ln, certFile, keyFile); done { return err }"},
			{"server.go", "func (s *Server) ServeConn(c net.Conn) error {", "EscaServeConn(c)"},
			{"fasthttputil/inmemory_listener.go", "func (ln *InmemoryListener) Dial() (net.Conn, error) {", "return EscaDialed(ln.DialWithLocalAddr(nil))"},
		},
		wraps: []wrap{
			{"tcpdialer.go", regexp.MustCompile(`dialer\.DialContext\((ctx, network, addr)\)`), "EscaDialContext(&dialer, $1)"},
			{"client_test.go", regexp.MustCompile(`\bnet\.Dial\(`), "EscaDial("},
		},
		skip: regexp.MustCompile("Compress(Concurrent|SingleThread|edFilesStay|LongFile)|(Brotli|Zstd|Unzstd|Gunzip|Gzip|Deflate).*(Limit|Concurrent|Excessive)|TestArgsParseMatches|TestNormalizePath|TestFSRootServesLike|TestBodyStreamOperations|TestPipelineClientThrottle|TestPipelineClientClose|TestDialTimeout|TestSkipCleanWords|TestReadBodyChunked|TestResponseHeaderTooBig"),
		settings: []setting{
			settingsOf("net.Listen", "adaptive", "direct"),
			settingsOf("net.Listen", "inline", "uring"),
			settingsOf("net.Listen", "goroutine", "uring"),
			settingsOf("conn.Listen", "adaptive", "uring"),
			settingsOf("conn.Listen", "inline", "direct"),
			settingsOf("conn.Listen", "goroutine", "direct"),
			settingsOf("", "", "direct").dialling(clients).servedByItself(),
			settingsOf("conn.Listen", "inline", "uring").dialling(clients),
		},
	},
	{
		name: "gnet", module: "github.com/panjf2000/gnet/v2",
		vars: map[string]string{"esca_vars.go": `package gnet

import (
	"context"

	errorx "github.com/panjf2000/gnet/v2/pkg/errors"
)

// EscaEngine is what an Engine cannot be asked for where esca serves.
type EscaEngine interface {
	CountConnections() int
	Dup() (int, error)
	DupListener(network, addr string) (int, error)
}

var (
	EscaRotate = func(EventHandler, []string, []Option) (bool, error) { return false, nil }
	EscaStop   = func(context.Context, string) (bool, error) { return false, nil }
	EscaOf     = func(EventHandler) EscaEngine { return nil }
	EscaWorks  bool
)

func (e Engine) esca() EscaEngine {
	if e.eng == nil {
		return nil
	}
	return EscaOf(e.eng.eventHandler)
}

// escaRefused makes a call that gnet refuses, and esca does not.
func escaRefused(call func() error) error {
	if EscaWorks {
		return errorx.ErrUnsupportedOp
	}
	return call()
}
`},
		wraps: []wrap{
			{"gnet_test.go", regexp.MustCompile(`(c\.Set(?:Read|Write|)Deadline\(time\.Now\(\)\.Add\(time\.Second\)\))`), "escaRefused(func() error { return $1 })"},
			{"gnet_test.go", regexp.MustCompile(`((?:c\.EventLoop\(\)|srv\.eventLoop)\.Schedule\(context\.Background\(\), nil, time\.Millisecond\))`), "escaRefused(func() error { return $1 })"},
		},
		inserts: []insert{
			{"gnet.go", "func (e Engine) CountConnections() (count int) {", "if g := e.esca(); g != nil { return g.CountConnections() }"},
			{"gnet.go", "func (e Engine) Dup() (fd int, err error) {", "if g := e.esca(); g != nil { return g.Dup() }"},
			{"gnet.go", "func (e Engine) DupListener(network, addr string) (int, error) {", "if g := e.esca(); g != nil { return g.DupListener(network, addr) }"},
			{"gnet.go", "func Run(eventHandler EventHandler, protoAddr string, opts ...Option) error {", "if done, err := EscaRotate(eventHandler, []string{protoAddr}, opts); done { return err }"},
			{"gnet.go", "func Rotate(eventHandler EventHandler, addrs []string, opts ...Option) error {", "if done, err := EscaRotate(eventHandler, addrs, opts); done { return err }"},
			{"gnet.go", "func Stop(ctx context.Context, protoAddr string) error {", "if done, err := EscaStop(ctx, protoAddr); done { return err }"},
		},
		skip: regexp.MustCompile("^TestServeGC$"),
		parts: map[string][]string{
			"TestClient": {"poll-LT", "poll-ET", "poll-ET-chunk", "poll-reuseport-LT", "poll-reuseport-ET"},
			"TestServer": {"poll-LT", "poll-ET", "poll-ET-chunk", "poll-reuseport-LT", "poll-reuseport-ET", "poll-multi-addrs-LT",
				"poll-multi-addrs-reuseport-LT", "poll-multi-addrs-ET", "poll-multi-addrs-reuseport-ET"},
			"TestStreamProxyServer": {"tcp-proxy-server", "unix-proxy-server", "udp-proxy-server"},
			"TestUDPProxyServer":    {"backend-udp-proxy-server", "backend-tcp-proxy-server"},
		},
		settings: []setting{
			settingsOf("", "as is", "direct"),
			settingsOf("", "as is", "uring"),
			settingsOf("", "adaptive", "direct").without(variants),
			settingsOf("", "inline", "uring").without(variants),
			settingsOf("", "goroutine", "direct").without(variants),
		},
	},
}

// clients are the files with the tests of fasthttp's clients, and what is tested through one.
var clients = []string{"client_test.go", "lbclient_test.go", "streaming_test.go", "stream_tcp_acceptance_test.go", "http_vectored_test.go"}

// variants are parts of gnet's tests that repeat others with options that mean little to
// esca; three of the runs leave them to two.
var variants = []string{"TestClient", "TestServer/poll-ET", "TestServer/poll-ET-chunk", "TestServer/poll-reuseport-LT",
	"TestServer/poll-multi-addrs-LT", "TestServer/poll-multi-addrs-ET", "TestSimServer"}
