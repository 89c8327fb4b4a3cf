// Package server runs fasthttp applications on esca's loops: unchanged handlers
// and an unchanged *fasthttp.Server.
//
//	fasthttp.ListenAndServe(addr, h)     →  server.ListenAndServe(addr, h)
//	fs.ListenAndServe(addr)              →  server.New(fs).ListenAndServe(addr)
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
// On systems other than Linux on amd64 and arm64 everything is served by
// fasthttp itself.
package server
