//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/bench/internal/latency"
)

// echoStarts is at how many places of the same bytes messages begin: neighbours
// among the connections send different ones.
const echoStarts = 251

// echoBytes is what messages of a size are cut from.
func echoBytes(size int) []byte {
	b := make([]byte, size+echoStarts)
	rand.NewChaCha8([32]byte{9}).Read(b)
	return b
}

// echoer is a connection that has some messages under way, all the same.
type echoer struct {
	fd             int
	message        []byte
	sent, received int64 // bytes
	blocked        bool  // the socket takes no more for now
	started        []time.Time
}

// echoGenerator keeps connections busy with messages that come back.
type echoGenerator struct {
	generation
	*generator
	all   map[int32]*echoer
	bytes []byte
}

// echo generates messages of g.Echo bytes, g.Pipeline under way on each
// connection, and compares all that comes back.
func echo(g generation) (result, error) {
	base := &generator{generation: g, buf: make([]byte, 256<<10)}
	e := &echoGenerator{generation: g, generator: base, all: map[int32]*echoer{}, bytes: echoBytes(g.Echo)}
	var err error
	if base.to, err = sockaddr(g.Addr); err != nil {
		return result{}, err
	}
	if base.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return result{}, err
	}
	defer unix.Close(base.epoll)
	base.now = time.Now()
	began := base.now
	for i := range g.Conns {
		if err := e.open(i); err != nil {
			return result{}, err
		}
	}
	events := make([]unix.EpollEvent, 512)
	for g.goesOn(base.now.Sub(began)) {
		n, err := unix.EpollWait(base.epoll, events, 100)
		if err != nil && err != unix.EINTR {
			return result{}, err
		}
		base.now = time.Now()
		for _, ev := range events[:max(0, n)] {
			c := e.all[ev.Fd]
			if c == nil {
				continue
			}
			if ev.Events&unix.EPOLLOUT != 0 {
				c.blocked = false
			}
			if !e.receive(c) || !e.send(c) {
				delete(e.all, ev.Fd)
				unix.Close(c.fd)
			}
		}
	}
	base.res.Elapsed = base.now.Sub(began)
	for _, c := range e.all {
		unix.Close(c.fd)
	}
	base.res.Percentiles = latency.Of(base.times)
	return base.res, nil
}

func (e *echoGenerator) open(i int) error {
	at := i % echoStarts
	c := &client{}
	if err := e.connect(c); err != nil {
		return fmt.Errorf("connection %d: %w", i, err)
	}
	ec := &echoer{fd: c.fd, message: e.bytes[at : at+e.generation.Echo]}
	e.all[int32(c.fd)] = ec
	mask := uint32(unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET&0xffffffff)
	if err := unix.EpollCtl(e.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: mask, Fd: int32(c.fd)}); err != nil {
		return err
	}
	e.send(ec)
	return nil
}

// receive takes all that has come; false: the connection is over.
func (e *echoGenerator) receive(c *echoer) bool {
	size := int64(len(c.message))
	for {
		n, err := unix.Read(c.fd, e.buf)
		switch {
		case err == unix.EAGAIN:
			return true
		case err == unix.EINTR:
			continue
		case err != nil || n == 0:
			e.res.Errors++
			return false
		}
		for b := e.buf[:n]; len(b) > 0; {
			at := c.received % size
			m := min(int64(len(b)), size-at)
			if c.received+m > c.sent || !bytes.Equal(b[:m], c.message[at:at+m]) {
				e.res.Wrong++
				return false
			}
			b = b[m:]
			if c.received += m; c.received%size == 0 {
				e.res.Requests++
				e.times = append(e.times, e.now.Sub(c.started[0]))
				c.started = c.started[1:]
			}
		}
		e.res.Bytes += int64(n)
		if n < len(e.buf) {
			return true
		}
	}
}

// send sends as much of the messages that may be under way as the socket takes.
func (e *echoGenerator) send(c *echoer) bool {
	size := int64(len(c.message))
	most := (c.received/size + int64(max(1, e.generation.Pipeline))) * size
	for c.sent < most && !c.blocked {
		at := c.sent % size
		b := c.message[at:]
		if at == 0 && size < 32<<10 && most-c.sent > size {
			b = bytes.Repeat(c.message, int((most-c.sent)/size)) // all at once, as a pipeline is written
		}
		n, err := unix.Write(c.fd, b)
		switch {
		case err == unix.EAGAIN:
			c.blocked = true
			return true
		case err == unix.EINTR:
			continue
		case err != nil:
			e.res.Errors++
			return false
		}
		for begin := (c.sent + size - 1) / size; begin*size < c.sent+int64(n); begin++ {
			c.started = append(c.started, e.now)
		}
		c.sent += int64(n)
	}
	return true
}

// checkEcho makes sure that messages come back as they were.
func checkEcho(addr string, l load) (answer, error) {
	c, err := dial(addr, answerTimeout)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(answerTimeout))
	message := echoBytes(l.echo)[:l.echo]
	for range answersChecked {
		go c.Write(message)
		got := make([]byte, len(message))
		if _, err := io.ReadFull(c, got); err != nil {
			return answer{}, fmt.Errorf("echo of %s: %w", byteSize(l.echo), err)
		}
		if !bytes.Equal(got, message) {
			return answer{}, fmt.Errorf("echo of %s: what came back is not what was sent", byteSize(l.echo))
		}
	}
	return answer{size: int64(l.echo)}, nil
}
