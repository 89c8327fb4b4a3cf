// Package http3 serves fasthttp handlers over HTTP/3: unchanged handlers, an unchanged
// *fasthttp.Server.
//
//	http3.ListenAndServeTLS(addr, cert, key, h)
//	http3.New(fs).Serve(pc)                      beside server.New(fs).ServeTLS(ln, "", "")
//
// QUIC, framing and QPACK are quic-go's, on esca's sockets of datagrams (conn.ListenPacket).
// What is in a stream fasthttp's own code gets as a request of HTTP/1.1, as package server
// does it with HTTP/2, so that limits, timeouts, forms, bodies and errors are what they
// always are. ctx.Request.Header.Protocol says HTTP/1.1, too; ctx.TLSConnectionState has
// "h3" as NegotiatedProtocol. Bodies are streamed both ways, with trailers. It is a module of
// its own: who does not import it has nothing of QUIC.
//
// Clients find HTTP/3 by the Alt-Svc field of what they get over TCP: Announce adds it.
//
// # What differs from HTTP/1.1
//
//	ctx.Hijack                      is refused with 505 and a line in the log.
//	ctx.Conn()                      is the stream: its addresses, deadlines and TLS state are good, Close has
//	                                the answer be broken off, and the rest is an error.
//	ctx.RemoteAddr, LocalAddr       are *net.TCPAddr with the address of UDP: RemoteIP knows no other.
//	server.Context                  ends when the client resets the stream, or is gone.
//	a handler that panics           resets its stream, with a line in the log; over TCP it ends the process.
//	limits of connections           Concurrency and MaxConnsPerIP count connections, not streams, of which a
//	                                connection has 128 at once, those it resets included, until their
//	                                handlers have ended. A connection too many is closed with
//	                                H3_EXCESSIVE_LOAD. MaxRequestsPerConn, DisableKeepalive and
//	                                SetConnectionClose mean nothing.
//	timeouts                        ReadTimeout is for the body of each stream, WriteTimeout for each answer,
//	                                whose stream is reset; WithStallTimeout is for clients that hardly take
//	                                anything. IdleTimeout, or ReadTimeout, is for connections without a
//	                                request that is complete; with neither, QUIC ends those of which
//	                                nothing has been heard for 30 seconds. What was sent last has three
//	                                probe timeouts (RFC 9002, section 6.2) to arrive in any case, and when
//	                                the server stops.
//	ReadBufferSize                  limits a request's head as always (431); of one four times that
//	                                size, and of 64 KiB at least, no more is taken.
//	MaxRequestBodySize              as always. Of what no handler has read QUIC takes 1 MiB of a stream, and
//	                                4 MiB of a connection.
//	ConnState                       is told of connections.
//	a body without Content-Length   is looked for before the handler is called, but of a POST, PUT or PATCH.
//	extended CONNECT, 0-RTT,        are not there: a request with the first is answered with 400. What comes
//	server push, datagrams          by 0-RTT may be another's copy.
//
// When more than 256 handshakes are under way, clients have to show that their address is
// theirs (Retry), which takes them one round trip more.
//
// QUIC wants receive buffers of some MiB (net.core.rmem_max, 7500000 say); with less it works,
// and loses more when much comes at once.
package http3
