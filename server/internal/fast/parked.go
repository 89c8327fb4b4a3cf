package fast

import (
	"net"
	"sync"
)

// Parked is a listener that accepts nothing: Accept returns when it is released. fasthttp
// arms ctx.Done, CloseOnShutdown and the wait of Shutdown in Serve, which with it comes to
// that without a connection. Its methods may be called by any goroutine.
type Parked struct {
	Armed    chan struct{} // closed when Accept is called
	Released chan struct{} // closed by Release
	addr     net.Addr
	armOnce  sync.Once
	relOnce  sync.Once
	onClose  func()
}

// NewParked returns one at addr. onClose is called by each Close, which is what a shutdown
// begins with; nil: nothing is.
func NewParked(addr net.Addr, onClose func()) *Parked {
	return &Parked{addr: addr, onClose: onClose, Armed: make(chan struct{}), Released: make(chan struct{})}
}

// Accept waits for Release.
func (p *Parked) Accept() (net.Conn, error) {
	p.armOnce.Do(func() { close(p.Armed) })
	<-p.Released
	return nil, net.ErrClosed
}

// Close calls onClose.
func (p *Parked) Close() error {
	if p.onClose != nil {
		p.onClose()
	}
	return nil
}

// Addr is the address that it was made with.
func (p *Parked) Addr() net.Addr { return p.addr }

// Release has Accept return, now and from now on.
func (p *Parked) Release() { p.relOnce.Do(func() { close(p.Released) }) }
