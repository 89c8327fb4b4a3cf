//go:build linux && (amd64 || arm64)

package conn

// OnPeerEnd has f called once, when it is seen that nothing more will come from the
// peer: it has ended its stream and all of that is read, or the connection has failed
// or is closed. If that is so already, f is called at once. With anyhow it is enough
// that the peer has ended its stream, whatever of it is still to be read: for who
// cannot look at that, as it is TLS. f is called with the loop's lock held: it must
// neither block nor touch any Conn. It takes the place of an f set before; nil: none.
// Input is left where it is. The end is seen by the loop, so not while a handler keeps
// it that nobody may take it from (WithSteals). Any goroutine.
func (b *Burst) OnPeerEnd(anyhow bool, f func()) {
	c := b.Conn()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.burst.onEnd, c.burst.anyhow = f, anyhow
	if f != nil {
		c.watch()
		c.noticeEnd()
	}
}

// noticeEnd tells who has asked for it of the end of what the peer sends.
func (c *Conn) noticeEnd() {
	if f := c.burst.onEnd; f != nil && c.peerEnded() {
		c.burst.onEnd = nil
		f()
	}
}

func (c *Conn) peerEnded() bool {
	in := &c.in
	switch {
	case c.end.state != endOpen, c.out.state == outFailed, in.failed, in.state == inEnded && in.errno != 0:
		return true
	case !in.hup && in.state != inEnded:
		return false
	case c.burst.anyhow:
		return true
	}
	return len(in.buf) == 0 && in.state != inReceiving && (in.state == inEnded || !c.unseen())
}
