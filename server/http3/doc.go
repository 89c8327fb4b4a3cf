// Package http3 serves fasthttp handlers over HTTP/3, by quic-go on esca's sockets of
// datagrams. It is a module of its own: who does not import it has nothing of QUIC.
package http3
