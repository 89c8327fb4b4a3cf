package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server/internal/fast"
)

// serving is one Serve. As fasthttp arms ctx.Done, CloseOnShutdown and the wait of Shutdown
// in its own Serve, fs.Serve runs, but on a listener that never accepts; and so does that of
// own, which has fs's settings, less what is about connections of TCP.
type serving struct {
	fs    *fasthttp.Server
	own   *fasthttp.Server
	pc    net.PacketConn
	quic  *quic.Transport
	ln    *quic.Listener
	h3    *http3.Server
	peers peers
	stall time.Duration // what a client has for 32 KiB; 0: no limit

	parked, ownParked *fast.Parked
	base              context.Context // of what server.Context gives to handlers: done when the server stops
	stopped           context.CancelCauseFunc
	stopOnce          sync.Once
}

const (
	// streams is how many requests a connection may have under way.
	streams = 128
	// streamWindow and connWindow bound what has come of bodies and no handler has read,
	// where the handlers read fast; it begins with less.
	streamWindow, connWindow = 1 << 20, 4 << 20
	// silence is after how long a client that answers nothing is taken to have gone, unless
	// IdleTimeout is longer.
	silence = 30 * time.Second
)

func newServing(s *Server, pc net.PacketConn, cfg *tls.Config) (*serving, error) {
	fs := s.fs
	sv := &serving{fs: fs, pc: pc}
	sv.base, sv.stopped = context.WithCancelCause(context.Background())
	sv.stall, _ = conn.Value(stallKey{}, s.opts...).(time.Duration)
	sv.peers.init(fs)
	sv.own = sv.settings()
	sv.parked = fast.NewParked(pc.LocalAddr(), sv.stop)
	sv.ownParked = fast.NewParked(pc.LocalAddr(), nil)
	sv.quic = &quic.Transport{Conn: pc, ConnContext: sv.peers.come, VerifySourceAddress: sv.peers.crowded}
	var err error
	sv.ln, err = sv.quic.Listen(cfg, &quic.Config{
		MaxIdleTimeout:             max(sv.peers.idle, silence),
		MaxIncomingStreams:         streams,
		MaxIncomingUniStreams:      16, // control, QPACK's two, and what nobody knows
		InitialStreamReceiveWindow: 128 << 10, MaxStreamReceiveWindow: streamWindow,
		InitialConnectionReceiveWindow: 256 << 10, MaxConnectionReceiveWindow: connWindow,
	})
	if err != nil {
		return nil, err
	}
	sv.h3 = &http3.Server{
		Handler:        http.HandlerFunc(sv.serve),
		MaxHeaderBytes: max(4*fs.ReadBufferSize, 64<<10), // fasthttp has a limit of its own, and an answer
		Logger:         slog.New(slog.DiscardHandler),    // what clients do wrong
	}
	return sv, nil
}

// settings returns a server with fs's settings, for requests one at a time.
func (sv *serving) settings() *fasthttp.Server {
	own := fast.Copy(sv.fs)
	own.Handler = func(ctx *fasthttp.RequestCtx) { ctx.Conn().(*line).st.handle(ctx) }
	if h := own.ExpectHandler; h != nil {
		own.ExpectHandler = func(ctx *fasthttp.RequestCtx) int { defer early(ctx)(); return h(ctx) }
	}
	if h := own.ErrorHandler; h != nil {
		own.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) { defer early(ctx)(); h(ctx, err) }
	}
	own.ConnState = nil
	own.MaxConnsPerIP, own.MaxRequestsPerConn, own.DisableKeepalive = 0, 0, false
	own.TCPKeepalive = false
	if own.Concurrency > 0 { // of connections, which are counted as they come
		own.Concurrency = max(own.Concurrency, fasthttp.DefaultConcurrency)
	}
	return own
}

// run serves until the socket is closed or the server shut down.
func (sv *serving) run() error {
	go sv.own.Serve(sv.ownParked)
	<-sv.ownParked.Armed
	go sv.fs.Serve(sv.parked)
	<-sv.parked.Armed
	err := sv.h3.ServeListener(&listener{sv.ln, &sv.peers})
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
		go sv.turnAway()
	} else {
		sv.close()
	}
	<-sv.parked.Released
	return err
}

// stop is called when fs, being shut down, closes the listener it has.
func (sv *serving) stop() {
	sv.stopOnce.Do(func() {
		sv.peers.stopping.Store(true)
		sv.stopped(http.ErrServerClosed)
		go sv.own.Shutdown() // fires ctx.Done; ends when its parked Serve does
		go func() {
			quit := make(chan struct{})
			go sv.peers.drain(quit)
			sv.h3.Shutdown(context.Background())
			close(quit)
			sv.release()
		}()
	})
}

// turnAway closes connections whose handshake was under way when the server was stopped.
// What comes later is refused as it comes.
func (sv *serving) turnAway() {
	for {
		c, err := sv.ln.Accept(context.Background())
		if err != nil {
			return // it is closed
		}
		c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), errStopping.Error())
	}
}

// close ends all connections at once. Handlers may still have to return.
func (sv *serving) close() {
	sv.peers.closeAll() // before handlers are told, who would still be heard
	sv.stop()
	sv.peers.closeAll()
}

// release lets go of the socket, and lets the parked Serve calls return.
func (sv *serving) release() {
	sv.ln.Close()
	sv.quic.Close()
	sv.pc.Close()
	sv.parked.Release()
	sv.ownParked.Release()
}

var defaultLogger = fasthttp.Logger(log.New(os.Stderr, "", log.LstdFlags))

func (sv *serving) logf(format string, args ...any) {
	logger := sv.fs.Logger
	if logger == nil {
		logger = defaultLogger
	}
	logger.Printf(format, args...)
}
