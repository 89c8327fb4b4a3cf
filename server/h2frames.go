//go:build linux && (amd64 || arm64)

package server

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/net/http2"

	"github.com/escahttp/esca/server/internal/http1"
)

// inflow is how much the client may send, and what it is yet to be told of.
type inflow struct{ avail, unsent int }

// take counts n bytes that have come. False: more than the client may send.
func (f *inflow) take(n int) bool {
	f.avail -= n
	return f.avail >= 0
}

// add gives n bytes back, and returns how many the client is to be told of now.
func (f *inflow) add(n, size int) int {
	f.unsent += n
	if f.unsent < size/4 {
		return 0
	}
	n = f.unsent
	f.avail += n
	f.unsent = 0
	return n
}

// take takes in what ReadFrame has returned, and returns a stream that the driver is to
// serve. With mu, as all that it calls.
func (c *h2conn) take(f http2.Frame, err error) *stream {
	var st *stream
	if err == nil {
		st, err = c.process(f)
	}
	var se http2.StreamError
	switch {
	case err == nil:
	case errors.As(err, &se):
		if !c.away { // which has told the client the last
			c.last = max(c.last, se.StreamID)
		}
		c.resetStream(se.StreamID, se.Code)
		if err := c.countReset(); err != nil {
			c.fail(err)
		}
	case errors.Is(err, http2.ErrFrameTooLarge):
		c.fail(http2.ConnectionError(http2.ErrCodeFrameSize))
	case errors.Is(err, os.ErrDeadlineExceeded) && c.greets: // idle for too long
		c.goAway(http2.ErrCodeNo)
		c.fail(err)
	default:
		c.fail(err)
	}
	if len(c.out) > h2OutEnd {
		c.fail(http2.ConnectionError(http2.ErrCodeEnhanceYourCalm))
	}
	return st
}

func (c *h2conn) process(f http2.Frame) (*stream, error) {
	if !c.greets {
		if _, ok := f.(*http2.SettingsFrame); !ok {
			return nil, http2.ConnectionError(http2.ErrCodeProtocol)
		}
		c.greets = true
		c.setIdle()
	}
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return c.takeHeaders(f)
	case *http2.DataFrame:
		return nil, c.takeData(f)
	case *http2.SettingsFrame:
		return nil, c.takeSettings(f)
	case *http2.WindowUpdateFrame:
		return nil, c.takeWindow(f)
	case *http2.RSTStreamFrame:
		return nil, c.takeReset(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			c.fr.WritePing(true, f.Data)
		}
	case *http2.PriorityFrame:
		if f.StreamDep == f.StreamID {
			return nil, http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
		}
	case *http2.GoAwayFrame:
		c.goAway(http2.ErrCodeNo) // what it has begun it still wants
	case *http2.PushPromiseFrame:
		return nil, http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil, nil
}

func (c *h2conn) takeSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	if f.NumSettings() > h2Settings { // each of which may concern every stream
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingHeaderTableSize:
			c.enc.SetMaxDynamicTableSize(s.Val)
		case http2.SettingMaxFrameSize:
			c.frame = min(int(s.Val), 64<<10)
		case http2.SettingInitialWindowSize:
			more := int64(s.Val) - c.initial
			c.initial = int64(s.Val)
			for _, st := range c.streams {
				if st.window += more; st.window > 1<<31-1 {
					return http2.ConnectionError(http2.ErrCodeFlowControl)
				}
			}
			c.wake()
		}
		return nil
	})
	c.fr.WriteSettingsAck()
	c.sendRests() // behind it, which says that the client's windows are known
	return err
}

func (c *h2conn) takeWindow(f *http2.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		if c.window += int64(f.Increment); c.window > 1<<31-1 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.sendRests()
		c.wake()
		return nil
	}
	st, err := c.stream(f.StreamID)
	if st == nil {
		return err
	}
	if st.window += int64(f.Increment); st.window > 1<<31-1 {
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
	}
	st.cond.Broadcast()
	return nil
}

// wake has streams send more, but not more of them than there is room for with the
// client: each of its small steps would otherwise wake them all.
func (c *h2conn) wake() {
	if c.wanting == 0 {
		return
	}
	left := c.window
	for _, st := range c.streams {
		if left <= 0 {
			return
		}
		if n := min(st.wants, st.window); n > 0 {
			left -= n
			st.cond.Broadcast()
		}
	}
}

func (c *h2conn) takeReset(f *http2.RSTStreamFrame) error {
	st, err := c.stream(f.StreamID)
	if st == nil {
		return err
	}
	c.closeStream(st, ErrClientGone)
	return c.countReset()
}

// countReset counts a stream that has come to nothing.
func (c *h2conn) countReset() error {
	if c.resets++; c.resets > h2Resets {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	return nil
}

// stream returns the stream of that number; nil: it is closed, which is an error if
// it has never been open.
func (c *h2conn) stream(id uint32) (*stream, error) {
	if st := c.streams[id]; st != nil {
		return st, nil
	}
	if c.away && id > c.last && id%2 == 1 {
		return nil, nil // it was begun before the client has heard that it is not served
	}
	if id > c.last || id%2 == 0 {
		return nil, http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil, nil
}

func (c *h2conn) takeData(f *http2.DataFrame) error {
	id, n := f.StreamID, int(f.Length)
	if !c.inflow.take(n) {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	st, err := c.stream(id)
	if err != nil {
		return err
	}
	if st == nil || st.remoteDone {
		c.giveBack(nil, n)
		if c.away && id > c.last || st == nil && c.closed(id).reset {
			return nil
		}
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeStreamClosed}
	}
	data := f.Data()
	if !st.inflow.take(n) {
		c.giveBack(nil, n)
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeFlowControl}
	}
	st.received += int64(len(data))
	if st.in.Length >= 0 && (st.received > st.in.Length || f.StreamEnded() && st.received < st.in.Length) {
		c.giveBack(nil, n)
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeProtocol}
	}
	if st.bodyAt > len(st.body)/2 {
		st.body = st.body[:copy(st.body, st.body[st.bodyAt:])]
		st.bodyAt = 0
	}
	st.body = append(st.body, data...)
	c.giveBack(st, n-len(data)) // padding
	if f.StreamEnded() {
		st.remoteDone = true
	}
	st.cond.Broadcast()
	return nil
}

// giveBack lets the client send n bytes more; nil: on other streams only.
func (c *h2conn) giveBack(st *stream, n int) {
	if n == 0 {
		return
	}
	if more := c.inflow.add(n, h2ConnWindow); more > 0 {
		c.fr.WriteWindowUpdate(0, uint32(more))
	}
	if st != nil && !st.remoteDone && !st.closed {
		if more := st.inflow.add(n, h2StreamWindow); more > 0 {
			c.fr.WriteWindowUpdate(st.id, uint32(more))
		}
	}
}

func (c *h2conn) takeHeaders(f *http2.MetaHeadersFrame) (*stream, error) {
	id := f.StreamID
	refuse := func(code http2.ErrCode) (*stream, error) {
		return nil, http2.StreamError{StreamID: id, Code: code}
	}
	switch st := c.streams[id]; {
	case st != nil && st.remoteDone:
		return refuse(http2.ErrCodeStreamClosed)
	case st != nil:
		return nil, c.takeTrailers(st, f)
	case id%2 == 0:
		return nil, http2.ConnectionError(http2.ErrCodeProtocol)
	case id <= c.last:
		switch gone := c.closed(id); {
		case gone.reset:
			return nil, nil // trailers, sent before the client has heard of it
		case gone.id == id:
			return nil, http2.ConnectionError(http2.ErrCodeStreamClosed)
		}
		return nil, http2.ConnectionError(http2.ErrCodeProtocol)
	case c.away:
		return nil, nil // it has been told, and tries elsewhere
	}
	c.last = id
	switch {
	case f.HasPriority() && f.Priority.StreamDep == id:
		return refuse(http2.ErrCodeProtocol)
	case len(c.streams) >= h2Streams, c.running >= 2*h2Streams:
		if err := c.countReset(); err != nil {
			return nil, err
		}
		return refuse(http2.ErrCodeRefusedStream)
	}
	st := &stream{c: c, id: id, window: c.initial, remoteDone: f.StreamEnded()}
	st.inflow.avail = h2StreamWindow
	st.cond.L = &c.mu
	t, ok := targetOf(f)
	if !ok || !st.in.Begin(c.h.sv.fs, st, t, f.RegularFields(), st.remoteDone) || st.remoteDone && st.in.Length > 0 {
		st.in.Release()
		return refuse(http2.ErrCodeProtocol)
	}
	st.out.To, st.out.Bare = st, st.in.Head
	c.requests++
	c.running++
	st.num = c.requests
	if c.streams[id] = st; len(c.streams) == 1 {
		c.setIdle()
	}
	switch {
	case f.Truncated:
		st.in.TooLong(int(c.h.headers))
	case st.remoteDone && c.slow == 0:
		return st, nil
	case st.remoteDone:
		c.slow--
	}
	go (&h2line{c: c, first: st}).drive()
	return nil, nil
}

// targetOf is what f asks for. False: it has a pseudo field that nobody knows here.
func targetOf(f *http2.MetaHeadersFrame) (t http1.Target, ok bool) {
	for _, hf := range f.PseudoFields() {
		switch hf.Name {
		case ":method":
			t.Method = hf.Value
		case ":scheme":
			t.Scheme = hf.Value
		case ":path":
			t.Path = hf.Value
		case ":authority":
			t.Host = hf.Value
		default:
			return t, false
		}
	}
	return t, true
}

func (c *h2conn) takeTrailers(st *stream, f *http2.MetaHeadersFrame) error {
	if !f.StreamEnded() || f.Truncated || len(f.PseudoFields()) > 0 || st.in.Length >= 0 && st.received != st.in.Length {
		return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeProtocol}
	}
	st.trailers = slices.Clone(f.RegularFields())
	st.remoteDone = true
	st.cond.Broadcast()
	return nil
}

// resetStream ends a stream with an error.
func (c *h2conn) resetStream(id uint32, code http2.ErrCode) {
	c.fr.WriteRSTStream(id, code)
	if st := c.streams[id]; st != nil {
		c.closeStream(st, ErrClientGone)
	} else if c.closed(id).id == 0 {
		c.remember(id)
	}
	c.closed(id).reset = true
}

// closedStream is what is known of a stream that is no more.
type closedStream struct {
	id    uint32
	reset bool // by us: what the client has sent meanwhile is not held against it
}

// closed returns what is known of a closed stream.
func (c *h2conn) closed(id uint32) *closedStream {
	for i := range c.gone {
		if c.gone[i].id == id {
			return &c.gone[i]
		}
	}
	return new(closedStream)
}

func (c *h2conn) remember(id uint32) {
	c.gone[c.goneAt%len(c.gone)] = closedStream{id: id}
	c.goneAt++
}

// closeStream forgets st; err: why what is still under way with it ends.
func (c *h2conn) closeStream(st *stream, err error) {
	if st.closed {
		return
	}
	st.closed = true
	c.remember(st.id)
	delete(c.streams, st.id)
	if !st.answered() {
		st.endContext(err)
	}
	c.endRest(st)
	c.giveBack(nil, len(st.body)-st.bodyAt)
	st.body, st.bodyAt = nil, 0
	st.cond.Broadcast()
	if len(c.streams) == 0 {
		c.setIdle()
		if st.over && c.h.sv.fs.ConnState != nil { // otherwise who ends serving it says so
			go c.tellState()
		}
	}
}

// setIdle has the connection end when it has had no streams for too long.
func (c *h2conn) setIdle() {
	c.idleEnds = time.Time{}
	if len(c.streams) == 0 && c.h.idle > 0 {
		c.idleEnds = time.Now().Add(c.h.idle)
	}
	c.goOnWaiting()
}

// goOnWaiting has the driver not settle, and restores the deadline.
func (c *h2conn) goOnWaiting() {
	c.settling = false
	c.nc.SetReadDeadline(c.idleEnds)
}
