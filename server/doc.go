// Package server runs fasthttp and gnet applications on esca's loops: unchanged
// handlers, an unchanged *fasthttp.Server, an unchanged gnet.EventHandler.
//
//	fasthttp.ListenAndServe(addr, h)     →  server.ListenAndServe(addr, h)
//	fs.ListenAndServe(addr)              →  server.New(fs).ListenAndServe(addr)
//	gnet.Run(h, "tcp://:9000")           →  server.Run(h, "tcp://:9000")
//
// # fasthttp
//
// fasthttp's own code parses requests and writes responses, so what it answers
// is what it always answers. What changes is underneath: a connection is served
// by bursts, on coroutines of a few event loops, and holds nothing between two
// requests; see package conn.
//
// # What differs from fasthttp's own server
//
//	ctx.Conn()                      is a *conn.Conn (over TLS a type that embeds *tls.Conn), not a
//	                                *net.TCPConn. It has the methods of *net.TCPConn.
//	fs.GetOpenConnectionsCount and  count nothing on fs, as connections are not served by fs itself:
//	its two sisters                 Server.Stats has the figures.
//	TimeoutHandler, Concurrency     the bound on handlers that run at once past their timeout is
//	                                Concurrency for each loop, not for all of them.
//	fs.ShutdownWithContext          once its context has expired, connections that are left end after
//	                                the request they are in; fasthttp would keep them alive.
//	runtime.LockOSThread            a lock that a handler leaves behind is undone when its burst ends.
//	Serve of other listeners        a listener that is neither from conn.Listen nor a *net.TCPListener
//	                                or *net.UnixListener is served by fasthttp itself.
//
// # HTTP/2
//
// Clients that come over TLS and speak HTTP/2 get it (ALPN); WithHTTP2(false) turns
// that off, WithH2C(true) takes it on ports without TLS. A handler sees no difference:
// what is in a stream is served by fasthttp's own code as a request of HTTP/1.1 would
// be, and ctx.Request.Header.Protocol says so too; ctx.TLSConnectionState has the
// negotiated protocol. Frames and header compression are golang.org/x/net/http2's; the
// connection is our own: net/http's takes six times the processor time for small
// requests, ten at once (go test -run '^$' -bench H2 -benchtime 1000x ./server). It has a
// goroutine, which serves short requests itself; a handler that blocks, or has a body to
// wait for, has one of its own.
//
// What cannot be the same:
//
//	ctx.Hijack                      is refused with 505 and a line in the log.
//	ctx.Conn()                      is the stream: its addresses, deadlines and TLS state are good, Close
//	                                resets it, and the rest is an error.
//	limits of connections           Concurrency and MaxConnsPerIP count connections, not streams, of which a
//	                                connection has 250 at the most. MaxRequestsPerConn, DisableKeepalive and
//	                                SetConnectionClose end a connection with GOAWAY: streams that are
//	                                under way by then are still served.
//	timeouts                        ReadTimeout is for the body of each stream, and for the client's first
//	                                bytes; WriteTimeout for each answer, whose stream is reset, and for
//	                                each write; IdleTimeout for a connection without streams.
//	ReadBufferSize                  limits a request's head as always (431); of one four times that
//	                                size, and of 64 KiB at least, no more is taken.
//	ConnState                       is told of connections, not of streams, as by net/http.
//	trailers of requests            with a Content-Length arrive only if a Trailer field announces them.
//	priorities                      of streams are not looked at.
//
// # HTTP/3
//
// Package http3 beneath this one serves the same *fasthttp.Server over QUIC. It is a module
// of its own, github.com/escahttp/esca/server/http3, so that quic-go is nobody's who has not
// asked for it.
//
// # Context
//
// Context gives a handler a context.Context that ends when its client has gone. Its
// documentation says what that is taken for.
//
// # gnet
//
// Run, Rotate, RunTLS and Stop take the place of gnet's functions; NewGnet has the
// options that those have no room for. Callbacks come as from gnet: those of one
// connection one at a time and in order, and, with one loop (gnet's default: neither
// Multicore nor NumEventLoop), all of them one at a time. With several loops the
// watcher takes a loop from a callback that keeps it for more than a millisecond; with
// conn.WithDispatch(conn.DispatchGoroutine) OnTraffic runs on goroutines and may
// block as it likes. With one loop conn.WithSteals(true) has the watcher as well;
// callbacks of different connections may then run at once.
//
// What moves, or is more:
//
//	Write, Writev, ReadFrom         are queued, and leave together when the loop's tick ends, or at
//	                                once if they are long. So an error of the socket comes with OnClose
//	                                rather than from Write; OutboundBuffered counts what is queued;
//	                                Flush sends it now. ReadFrom needs no Flush.
//	Close, Action Close             what was written before is sent, for up to five seconds if the
//	                                peer is slow, where gnet tries once. SetLinger is kept.
//	SetDeadline and its sisters     work; gnet refuses them. One that passes closes the connection,
//	                                and OnClose gets os.ErrDeadlineExceeded.
//	EventLoop.Schedule              works; gnet refuses it.
//	Pause, Resume, WhenDrained      of this package stop a peer that sends faster than its bytes can be
//	                                used. OnClose, too, waits for Resume, unless a write has failed, a
//	                                deadline passes or the engine stops.
//	RunTLS                          asks cfg.GetCertificate and GetConfigForClient at each handshake, on
//	                                the loop: they should not wait. crypto/tls asks the first only if
//	                                Certificates is empty or the client names a host, and neither has
//	                                anything to say to a connection that is open.
//	conn.Dial in a callback         dials onto loops of its own, and a callback that waits for such a
//	                                connection keeps its loop; EventLoop.Register's have callbacks.
//	EventLoop.Close                 of a connection that is inside a callback on another goroutine, by
//	                                DispatchGoroutine or after a steal, closes it after that.
//	Fd                              is -1, and Write reports net.ErrClosed, once the connection is closed.
//	LocalAddr                       is the connection's own, not the listening socket's.
//	AsyncWrite after the end        of the engine has its callback called, with net.ErrClosed.
//	unix addresses                  a socket that was left behind is replaced, as gnet does; a file that
//	                                is no socket is an error, where gnet removes it.
//	options                         ReuseAddr is always on, and so is edge-triggered epoll;
//	                                EdgeTriggeredIOChunk says how many bytes a connection is served before
//	                                its neighbours. WriteBufferCap sizes nothing: output is kept by need.
//	                                With RunTLS LockOSThread is refused, and without a udp address so is
//	                                MulticastInterfaceIndex.
//	udp                             has loops of its own, as many for each address, with a socket each, of
//	                                a multicast group one. Where all callbacks are to come one at a time
//	                                they run on the first loop there is, those of a tick together: beside
//	                                tcp or unix, two switches of goroutines a tick.
//	a datagram's Write, SendTo      queue for the end of the tick; that the kernel refuses one then is
//	                                only counted (Stats.PacketsDropped). They report EMSGSIZE for what is
//	                                longer than any datagram, and ENOBUFS where the queue is full. After
//	                                OnTraffic the sender can still be answered, by any goroutine.
//	a datagram's Dup, Gnet.Dup      share a socket that receives by UDP_GRO: several datagrams at a time.
//	ReadBufferCap                   cuts no datagram: it comes whole.
//	a udp connection by Register    is not ended by an empty datagram, as gnet's is. Write queues, as a
//	                                datagram's; that nobody is there closes it.
//	another by Register             is on a loop of gnet's own if there are only udp addresses. Where
//	                                callbacks come one at a time they still do, by two switches of
//	                                goroutines each.
//
// The gnet.Engine that OnBoot gets is a real one of gnet's, which runs beside the
// loops, with its ticker. Its Stop and Validate are for all;
// its Register works, on a loop of gnet's own; its Dup reports gnet's
// ErrUnsupportedOp, and its CountConnections counts only what it has registered.
// A Gnet's methods of the same names are for esca's loops. gnet.Stop does not know
// the addresses: Stop does.
//
// On systems other than Linux on amd64 and arm64 everything is served by
// fasthttp and gnet themselves, and RunTLS is an error.
package server
