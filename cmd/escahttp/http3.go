package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server/http3"
)

// checkHTTP3 looks at what can be seen to be wrong with --http3.
func (s *serveCmd) checkHTTP3() error {
	if !s.HTTP3 {
		return nil
	}
	list, err := s.addresses()
	switch {
	case err != nil:
		return err
	case !slices.ContainsFunc(list, func(a *address) bool { return a.secure && !a.unix }):
		return errors.New("--http3: nothing speaks TLS on a port here: give --tls-cert and --tls-key, or --acme, and an --addr or --listen of HOST:PORT")
	case s.ProxyProtocol:
		return errors.New("--http3: clients come to it themselves, and --proxy-protocol says that all come by proxies: leave one of them out")
	}
	return nil
}

// datagrams are a UDP socket, on the port of an address where TLS is spoken.
type datagrams struct {
	*conn.PacketListener
	*address
	inherited bool // it is the process before that reads from it
}

// listenHTTP3 opens a UDP socket for each port of all where TLS is spoken, or takes it over.
func (s *sockets) listenHTTP3(all []listening) (list []datagrams, err error) {
	if !s.HTTP3 {
		return nil, nil
	}
	defer func() {
		if err != nil {
			for _, d := range list {
				d.Close()
			}
		}
	}()
	// quic-go would say in words of its own that it asks for larger buffers than there are.
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	before := make(map[string]int) // of the same text; other addresses may come and go with an upgrade
	for _, l := range all {
		ta, ok := l.Addr().(*net.TCPAddr)
		if !ok || !l.secure {
			continue
		}
		name := fmt.Sprintf("%s#udp%d", l.text, before[l.text])
		before[l.text]++
		d, err := s.listenDatagrams(l.address, ta, name)
		if err != nil {
			return list, err
		}
		list = append(list, d)
	}
	return list, nil
}

// listenDatagrams opens the one of a, which is listened on at ta. name is what the processes
// before and after know it by.
func (s *sockets) listenDatagrams(a *address, ta *net.TCPAddr, name string) (d datagrams, err error) {
	d.address = a
	f, err := s.upgrades.file(name)
	if err != nil {
		return d, fmt.Errorf("--http3: %s: %w", a, err)
	}
	switch {
	case f != nil:
		d.inherited = true
		defer f.Close()
	case a.systemd:
		if f = s.passedUDP(a, ta.Port); f == nil {
			return d, fmt.Errorf("--http3: systemd has passed no UDP socket of port %d for %s: add ListenDatagram=%d to its .socket unit", ta.Port, a, ta.Port)
		}
	}
	opts := []conn.Option{conn.WithLogger(s.logger)}
	if f != nil {
		opts = append(opts, conn.WithPacketSockets(func(string, string) (net.PacketConn, error) { return net.FilePacketConn(f) }))
	}
	d.PacketListener, err = conn.ListenPacket("udp", ta.String(), opts...)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return d, fmt.Errorf("--http3: UDP port %d of %s is in use by another program: stop it, or leave --http3 out", ta.Port, a)
	case errors.Is(err, syscall.EACCES):
		return d, fmt.Errorf("--http3: UDP port %d of %s may not be listened on: ports below 1024 need the right to (CAP_NET_BIND_SERVICE)", ta.Port, a)
	case err != nil:
		return d, fmt.Errorf("--http3: %s: %w", a, err)
	}
	if err := s.upgrades.keepUDP(name, d.PacketListener); err != nil {
		d.Close()
		return d, fmt.Errorf("--http3: %s: %w", a, err)
	}
	return d, nil
}

// passedUDP returns the UDP socket that systemd has passed for a, of that port; nil: none.
func (s *sockets) passedUDP(a *address, port int) *os.File {
	for _, f := range s.passed {
		if pc := udpOf(f); pc != nil {
			ua := pc.LocalAddr().(*net.UDPAddr)
			pc.Close()
			if ua.Port == port && (a.where == "" || f.Name() == a.where) {
				return f
			}
		}
	}
	return nil
}

// udpOf returns a duplicate of f as a UDP socket; nil: it is none.
func udpOf(f *os.File) *net.UDPConn {
	pc, err := net.FilePacketConn(f)
	if err != nil {
		return nil
	}
	if uc, ok := pc.(*net.UDPConn); ok {
		return uc
	}
	pc.Close()
	return nil
}

// http3Serving is what answers datagrams. nil: nothing does.
type http3Serving struct {
	*http3.Server
	all  []datagrams
	quit context.CancelFunc // what waits for the process before need not any more
}

// serveHTTP3 serves what comes to t.udp, and tells done of the end of each.
func (t *site) serveHTTP3(done chan<- error) *http3Serving {
	if len(t.udp) == 0 {
		return nil
	}
	s := &http3Serving{Server: http3.New(t.fs, http3.WithStallTimeout(t.WriteTimeout)), all: t.udp}
	var ctx context.Context
	ctx, s.quit = context.WithCancel(context.Background())
	if slices.ContainsFunc(s.all, func(d datagrams) bool { return d.inherited }) {
		t.out.Printf("HTTP/3 begins here when the process before has ended")
	}
	for _, d := range s.all {
		go func() {
			// Two that read from one socket would each get datagrams of the other's clients.
			if d.inherited && t.upgrades.WaitForParent(ctx) != nil && ctx.Err() != nil {
				d.Close()
				done <- nil
				return
			}
			done <- s.Serve(d.PacketListener)
		}()
	}
	return s
}

// stop has what waits for the process before not wait any more.
func (s *http3Serving) stop() {
	if s != nil {
		s.quit()
	}
}

// close tells the clients that are left that this is the end.
func (s *http3Serving) close() {
	if s != nil {
		s.quit()
		s.Close()
	}
}

// announcing returns h, which tells clients that come over TLS that HTTP/3 is spoken on the
// same port.
func (t *site) announcing(h fasthttp.RequestHandler) fasthttp.RequestHandler {
	if !t.HTTP3 {
		return h
	}
	return func(ctx *fasthttp.RequestCtx) {
		h(ctx)
		ta, ok := ctx.LocalAddr().(*net.TCPAddr)
		if ok && ctx.IsTLS() && len(ctx.Response.Header.Peek("Alt-Svc")) == 0 {
			ctx.Response.Header.Set("Alt-Svc", http3.AltSvc(ta.Port))
		}
	}
}
