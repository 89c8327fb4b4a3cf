//go:build linux && (amd64 || arm64)

package conn

import "time"

// Handler serves the connections of a Listener by bursts.
type Handler interface {
	// Open is called once for each new connection, on the loop, before
	// anything of it is read. It may write to the connection, close it and set
	// deadlines; a read deadline set here limits the wait for the first byte.
	Open(b *Burst)

	// Serve is called on a worker when the connection, which has no worker, has
	// input, has come to its end (once), has failed, has been poked, or has been
	// ended (Burst.Ended). It may use b.Conn as any net.Conn. When it returns and
	// the connection is still open, that waits for more input without a worker. At the
	// end of its stream or after a failure it is to be closed: it stays open otherwise,
	// and Listener.Wait waits for it.
	Serve(b *Burst)
}

// Burst is a connection as its Handler sees it. It lives as long as the connection
// does, and may be kept; what says so is for the Handler's own calls only: within Open
// or Serve, on the goroutine they are called on. The rest is for any goroutine.
type Burst Conn

// burst is what a Conn knows of being served.
type burst struct {
	served   bool  // by the Handler; otherwise it belongs to whoever has it
	opening  bool  // Handler.Open is still to return
	queued   bool  // in loop.toServe
	poked    bool  // to be served though nothing has come
	over     bool  // Read has reported boundary
	news     bool  // since the last burst began something was read, or has come
	paused   bool  // nothing is taken in, nor given to the Handler
	anyhow   bool  // see OnPeerEnd
	pokeAt   int32 // poke when less is queued; 0: not
	ended    Ended
	pinned   int8  // how many SetReadDeadline to ignore; <0: all
	slow     uint8 // see policy
	boundary error // at a boundary: what Read reports instead of waiting
	context  any
	onGone   func()
	onEnd    func() // see OnPeerEnd
}

// Conn returns the connection.
func (b *Burst) Conn() *Conn { return (*Conn)(b) }

// BurstOf returns what the Handler that serves c has of it. Any goroutine.
func BurstOf(c *Conn) *Burst { return (*Burst)(c) }

// Ended says that a connection without a worker is served because of something
// other than input.
type Ended uint8

// What can end a wait for input.
const (
	NotEnded      Ended = iota
	EndedTimeout        // the read deadline has passed, or the write deadline with something still to be sent
	EndedShutdown       // Listener.CloseIdle
)

// ErrBurstOver is an error for AtBoundary: a temporary net.Error, which crypto/tls
// passes on and does not hold on to as it would to io.EOF.
var ErrBurstOver error = burstOver{}

type burstOver struct{}

func (burstOver) Error() string   { return "esca: burst is over" }
func (burstOver) Timeout() bool   { return false }
func (burstOver) Temporary() bool { return true }

// AtBoundary, with an err, says that the connection is between two requests, so that
// a Read of its worker that would wait reports err, and ends the burst, instead. Until
// Serve returns, Close by the worker then does nothing: whoever serves by bursts may
// run code that closes what it cannot read from. Each burst begins with nil, not at a
// boundary; nil also undoes a burst's being over. The Handler's own calls only.
func (b *Burst) AtBoundary(err error) {
	b.burst.boundary = err
	if err == nil {
		b.burst.over = false
	}
}

// Over reports whether the present burst has come to an end at a boundary. The
// Handler's own calls only.
func (b *Burst) Over() bool { return b.burst.over }

// Next ends the burst as returning from Serve does, and waits for the one that its
// worker gets next, with which Serve then goes on: what it has set up for the first
// can so be used again. nil: there is none, and Serve has to return; the connection
// must not be touched any more, as it may be another worker's. If ended is false the
// burst goes on: its worker runs on a goroutine, and gets the next by returning. The
// Handler's own calls only.
func (b *Burst) Next() (next *Burst, ended bool) {
	w := b.worker
	if w == nil || w.kind != inlineWorker || !w.isCaller() {
		return nil, false
	}
	w.l.unlockThread()
	w.finished = true
	if !w.yield(struct{}{}) {
		return nil, true
	}
	return BurstOf(w.c), true
}

// Ended is why Serve was called, other than for input. The Handler's own calls only.
func (b *Burst) Ended() Ended { return b.burst.ended }

// Gone reports whether the peer has ended its stream, with nothing left to read, or
// the connection has failed. Any goroutine.
func (b *Burst) Gone() bool {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	return b.in.state == inEnded && len(b.in.buf) == 0 || b.out.state == outFailed
}

// Readable reports whether bytes that have come wait to be read. Any goroutine.
func (b *Burst) Readable() bool {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	return len(b.in.buf) > 0
}

// Loop returns which of its listener's loops, from zero, the connection belongs to.
// Any goroutine.
func (b *Burst) Loop() int { return b.l.index }

// OnGone has f called once, when the connection is closed and all it had to send is
// sent or given up. f is called with the loop's lock held: it must neither block nor
// touch any Conn. To be set in Open.
func (b *Burst) OnGone(f func()) {
	b.l.mu.Lock()
	b.burst.onGone = f
	b.l.mu.Unlock()
}

// Detach makes it an ordinary connection, which is not served any more but belongs to
// whoever has it. The Handler's own calls only.
func (b *Burst) Detach() {
	b.AtBoundary(nil)
	b.l.mu.Lock()
	b.burst.served, b.burst.pinned = false, 0
	b.l.mu.Unlock()
}

// PinReadDeadline has the next n calls of SetReadDeadline (all of them if n is
// negative; none if it is zero) change nothing, because the deadline that stands was
// set by who knows better. Any goroutine.
func (b *Burst) PinReadDeadline(n int8) {
	b.l.mu.Lock()
	b.burst.pinned = n
	b.l.mu.Unlock()
}

// PinDeadlines is PinReadDeadline for all calls to come, and clears the write
// deadline unless something is still to be sent. Any goroutine.
func (b *Burst) PinDeadlines() {
	c := b.Conn()
	c.l.mu.Lock()
	if c.out.state == outEmpty {
		c.wdl = 0
	}
	c.burst.pinned = -1
	c.l.mu.Unlock()
}

// UnpinDeadlines undoes PinDeadlines, and sets the read deadline to d from now; with
// zero there is none. Any goroutine.
func (b *Burst) UnpinDeadlines(d time.Duration) {
	b.l.mu.Lock()
	b.burst.pinned, b.rdl = 0, 0
	if d > 0 {
		b.rdl = b.l.time() + int64(d)
	}
	b.l.mu.Unlock()
}

// SetContext attaches v to the connection. Context returns it. Not synchronised: for
// the Handler, before it lets others know of the connection.
func (b *Burst) SetContext(v any) { b.burst.context = v }

// Context returns what SetContext attached. Any goroutine that the Handler has told of
// the connection since.
func (b *Burst) Context() any { return b.burst.context }

// Since returns when the connection was accepted. Any goroutine.
func (b *Burst) Since() time.Time { return clockBase.Add(time.Duration(b.since)) }

// ByWorker reports whether the caller is the worker that serves the connection.
func (b *Burst) ByWorker() bool {
	c := b.Conn()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.byWorker()
}

// byWorker reports whether the caller is the worker that serves c.
func (c *Conn) byWorker() bool { return c.worker != nil && c.worker.isCaller() }

// Poke has the connection served though nothing has come, once, after the burst under
// way if there is one. It reports false if the connection is closed, and will not be
// served any more. Any goroutine.
func (b *Burst) Poke() bool {
	c := b.Conn()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.end.state != endOpen {
		return false
	}
	c.serveLater()
	return true
}

// FD returns the descriptor, -1 once it is closed. It stays the loop's: whoever
// uses it, other than for setting options, uses it at his own risk. Any goroutine.
func (b *Burst) FD() int {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	b.end.prompt = false // an option that may be set is SO_LINGER
	return int(b.fd)
}
