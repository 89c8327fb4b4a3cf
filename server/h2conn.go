//go:build linux && (amd64 || arm64)

package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/escahttp/esca/server/internal/fast"
)

// h2conn is a connection that speaks HTTP/2.
//
// One goroutine, the driver, reads its frames. A request that has come whole it serves
// itself, then and there, and what several answer leaves in one write, before it next
// waits: so a request costs no switch of goroutines. One whose body is still to come
// gets a goroutine. A handler that keeps the driver for some milliseconds loses the
// connection to another driver (h2watch.go), as does one that waits for the client to
// take its answer; the next requests then get goroutines as well.
//
// mu protects everything but what is the driver's. Nobody waits for the connection, or
// calls a handler, with it.
type h2conn struct {
	h  *h2
	ss *session
	ls *loopServer
	nc net.Conn

	driver atomic.Pointer[h2line]
	br     *bufio.Reader // the driver's; nil: it is settled
	first  [1]byte       // what has come to a settled one; the driver's
	hasOne bool          // that is to be read
	waits  atomic.Bool   // the driver does, between two frames
	fr     *http2.Framer // reading is the driver's, writing is with mu
	greets bool          // the client's first frame has come; the driver's
	seen   uint64        // of the driver, by the watcher
	quiet  int           // looks of the watcher since something was new
	isSeen atomic.Bool   // among those watched

	mu       sync.Mutex
	streams  map[uint32]*stream
	last     uint32           // the client's last stream
	gone     [64]closedStream // last
	goneAt   int
	running  int // streams in handlers, closed ones included
	requests uint64
	slow     int // so many requests more get goroutines
	resets   int // streams that have come to nothing, less those answered
	away     bool
	settling bool      // the driver is to let go of what it waits with
	idleEnds time.Time // when it has had no streams for too long; zero: never
	err      error     // why it has ended; nil: it has not

	// What is to be sent. Whoever finds nobody writing writes, until nothing is left.
	out     []byte
	spare   []byte
	writing bool
	room    sync.Cond // writing has ended, or there is less
	enc     *hpack.Encoder
	block   bytes.Buffer
	window  int64     // what the client takes
	initial int64     // and of a new stream
	wanting int       // streams that wait for the client to take more
	rests   []*stream // whose answers' rests are kept for when it does
	kept    int       // bytes of those
	frame   int       // most bytes of a frame

	inflow inflow

	hookMu sync.Mutex
	active bool // as the user's hook knows it
}

const (
	h2Streams      = 250       // at once
	h2StreamWindow = 256 << 10 // bytes of a stream that a handler has not read
	h2ConnWindow   = 1 << 20   // and of all
	h2FlushAt      = 32 << 10  // what is not held back for more to come
	h2OutMost      = 256 << 10 // where those who write wait
	h2OutEnd       = 1 << 20   // what a client that asks and does not read gets at most
	h2Preface      = 10 * time.Second
	h2Farewell     = time.Second // for a client that has broken the rules to be told so
	h2Resets       = 1000        // streams that may come to nothing, without as many being answered
	h2Slow         = 64
	h2Settings     = 100 // of one frame
)

func newH2conn(h *h2, ss *session) *h2conn {
	c := &h2conn{h: h, ss: ss, ls: h.sv.loops[ss.b.Loop()], nc: ss.nc()}
	c.streams = make(map[uint32]*stream)
	c.room.L = &c.mu
	c.window, c.initial, c.frame = 65535, 65535, 16384
	c.inflow.avail = 65535
	c.enc = hpack.NewEncoder(&c.block)
	c.enc.SetMaxDynamicTableSizeLimit(4096)
	c.borrow()
	c.fr = c.newFramer(hpack.NewDecoder(4096, nil))
	return c
}

func (c *h2conn) newFramer(d *hpack.Decoder) *http2.Framer {
	fr := http2.NewFramer((*h2out)(c), (*h2in)(c))
	fr.SetReuseFrames()
	fr.SetMaxReadFrameSize(16384)
	fr.ReadMetaHeaders = d
	fr.MaxHeaderListSize = c.h.headers
	return fr
}

// h2out is where the Framer writes to, with mu.
type h2out h2conn

func (o *h2out) Write(p []byte) (int, error) {
	o.out = append(o.out, p...)
	return len(p), nil
}

// serve greets the client, and drives.
func (c *h2conn) serve() {
	limit := h2Preface
	if d := c.h.sv.fs.ReadTimeout; d > 0 {
		limit = d
	}
	c.nc.SetDeadline(time.Time{})
	c.nc.SetReadDeadline(time.Now().Add(limit))
	c.ss.id = fast.NewConnID()
	c.mu.Lock()
	c.fr.WriteSettings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: h2Streams},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: h2StreamWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: c.h.headers})
	c.fr.WriteWindowUpdate(0, h2ConnWindow-uint32(c.inflow.avail))
	c.inflow.avail = h2ConnWindow
	switch state, ok := tlsStateOf(c.nc); {
	case ok && (state.Version < tls.VersionTLS12 || state.Version == tls.VersionTLS12 && !slices.Contains(goodCiphers, state.CipherSuite)):
		c.fail(http2.ConnectionError(http2.ErrCodeInadequateSecurity))
	case c.h.sv.stopping.Load():
		c.goAway(http2.ErrCodeNo)
	}
	c.mu.Unlock()
	c.flush()
	if !c.readPreface() {
		return
	}
	ln := &h2line{c: c}
	c.driver.Store(ln)
	ln.drive()
}

func tlsStateOf(nc net.Conn) (state tls.ConnectionState, ok bool) {
	if t, is := nc.(*tlsConn); is {
		return t.ConnectionState(), true
	}
	return state, false
}

func (c *h2conn) readPreface() bool {
	var got [len(http2.ClientPreface)]byte
	_, err := io.ReadFull(c.br, got[:])
	if err == nil && string(got[:]) != http2.ClientPreface {
		err = http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if err != nil {
		c.mu.Lock()
		c.fail(err)
		c.mu.Unlock()
	}
	return err == nil
}

// next returns what ln is to serve next; nil: nothing any more, or ln has settled. The
// driver reads frames until there is something for it.
func (c *h2conn) next(ln *h2line) *stream {
	if st := ln.first; st != nil {
		ln.first = nil
		return st
	}
	for c.driver.Load() == ln {
		if !c.buffered() {
			if !c.flushAway(ln) {
				break
			}
			if c.settles() {
				ln.settled = true
				break
			}
		}
		f, err := c.fr.ReadFrame()
		c.mu.Lock()
		if c.err != nil {
			c.mu.Unlock()
			return nil
		}
		st := c.take(f, err)
		full := len(c.out) > h2FlushAt
		c.mu.Unlock()
		if full {
			c.flushAway(ln)
		}
		if st != nil {
			return st
		}
	}
	return nil
}

// buffered reports whether the next frame can be read without waiting.
func (c *h2conn) buffered() bool {
	const head = 9
	if c.br == nil || c.br.Buffered() < head {
		return false
	}
	b, _ := c.br.Peek(head)
	return c.br.Buffered() >= head+(int(b[0])<<16|int(b[1])<<8|int(b[2]))
}

// replace has another driver go on in ln's place, if ln is the driver, and away from
// the frames since it was last seen to be (enter). Those who come next get goroutines.
// With mu.
func (c *h2conn) replace(ln *h2line, seq uint64) {
	if c.driver.Load() != ln || seq&1 == 0 || !ln.seq.CompareAndSwap(seq, replaced) {
		return
	}
	c.slow = h2Slow
	other := &h2line{c: c}
	c.driver.Store(other)
	go other.drive()
}

// flushAway is flush for the driver. The client may not be reading: another then drives,
// and flushAway reports false.
func (c *h2conn) flushAway(ln *h2line) bool {
	ln.enter()
	c.h.watch(c)
	c.flush()
	return ln.leave()
}

// flush sends what there is to be sent, unless somebody does.
func (c *h2conn) flush() {
	c.mu.Lock()
	c.flushLocked()
	c.mu.Unlock()
}

func (c *h2conn) flushLocked() {
	if c.writing {
		return
	}
	for c.sendRests(); len(c.out) > 0; c.sendRests() {
		b := c.out
		c.out, c.writing = c.spare[:0], true
		c.mu.Unlock()
		if d := c.h.sv.fs.WriteTimeout; d > 0 {
			c.nc.SetWriteDeadline(time.Now().Add(d))
		}
		_, err := c.nc.Write(b)
		c.mu.Lock()
		c.writing = false
		c.spare = b
		if err != nil {
			c.out = c.out[:0]
			c.fail(err)
		}
		c.room.Broadcast()
	}
	// An idle connection holds little.
	c.out, c.spare = smaller(c.out), smaller(c.spare)
}

// makeLarger makes room for n bytes more to be sent. What does not fit a block is made anew. With mu.
func (c *h2conn) makeLarger(n int) {
	if cap(c.out)-len(c.out) < n && cap(c.out) < h2Block && len(c.out)+n <= h2Block {
		c.out = append(h2blocks.Get().(*[h2Block]byte)[:0], c.out...)
	}
}

// smaller is b, which is empty, or nil if it is large: a block is for others then.
func smaller(b []byte) []byte {
	switch {
	case cap(b) == h2Block:
		h2blocks.Put((*[h2Block]byte)(b[:h2Block]))
		return nil
	case cap(b) > h2FlushAt:
		return nil
	}
	return b
}

// makeRoom waits, if much is to be sent, until there is less. Not for the driver while
// it reads. With mu.
func (c *h2conn) makeRoom() {
	if len(c.out) > h2FlushAt {
		c.flushLocked()
	}
	for c.writing && len(c.out) > h2OutMost && c.err == nil {
		c.room.Wait()
	}
}

// goAway tells the client that no stream after its last is served. With mu.
func (c *h2conn) goAway(code http2.ErrCode) {
	if !c.away {
		c.away = true
		c.fr.WriteGoAway(c.last, code, nil)
	}
	c.endIfIdle()
}

// shutDown is goAway of a server that stops.
func (c *h2conn) shutDown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.away && c.err == nil {
		c.goAway(http2.ErrCodeNo)
		go c.flush()
	}
}

// endIfIdle ends a connection that has nothing more to come. With mu.
func (c *h2conn) endIfIdle() {
	if c.away && len(c.streams) == 0 {
		c.fail(net.ErrClosed)
	}
}

// fail ends the connection. With mu.
func (c *h2conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	if code, ok := err.(http2.ConnectionError); ok {
		c.fr.WriteGoAway(c.last, http2.ErrCode(code), nil)
	}
	for _, st := range c.streams {
		c.closeStream(st, ErrClientGone)
	}
	c.room.Broadcast()
	go c.close()
}

// close closes it, after what is still to be sent.
func (c *h2conn) close() {
	c.mu.Lock()
	limit := h2Preface
	if _, ok := c.err.(http2.ConnectionError); ok {
		limit = h2Farewell
	}
	c.nc.SetWriteDeadline(time.Now().Add(limit))
	for c.flushLocked(); c.writing; {
		c.room.Wait()
	}
	err := c.err
	c.mu.Unlock()
	c.nc.Close()
	c.h.forget(c)
	c.ss.uncount()
	c.tellState()
	c.ss.tellClosed()
	if err != io.EOF && !errors.Is(err, net.ErrClosed) && c.h.sv.fs.LogAllErrors {
		c.h.sv.logError(c.nc, err)
	}
}

// tellState tells the user's hook whether there are streams.
func (c *h2conn) tellState() {
	if c.h.sv.fs.ConnState == nil {
		return
	}
	c.hookMu.Lock()
	defer c.hookMu.Unlock()
	c.mu.Lock()
	active := len(c.streams) > 0
	c.mu.Unlock()
	if active == c.active {
		return
	}
	c.active = active
	state := fasthttp.StateIdle
	if active {
		state = fasthttp.StateActive
	}
	c.h.sv.tell(c.nc, state)
}
