//go:build linux && (amd64 || arm64)

package conn

import (
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// control runs f on the descriptor, which stays open meanwhile.
func (c *Conn) control(op string, f func(fd int) error) error {
	l := c.l
	l.mu.Lock()
	if c.end.state != endOpen {
		l.mu.Unlock()
		return c.opError(op, net.ErrClosed)
	}
	fd := int(c.fd)
	c.beginCalls()
	err := f(fd)
	c.endCalls()
	l.mu.Unlock()
	if err != nil {
		if errno, ok := err.(unix.Errno); ok {
			err = os.NewSyscallError("setsockopt", errno)
		}
		return c.opError(op, err)
	}
	return nil
}

func (c *Conn) setInt(level, opt, v int) error {
	return c.control("set", func(fd int) error { return unix.SetsockoptInt(fd, level, opt, v) })
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// SetNoDelay sets TCP_NODELAY, which is on from the beginning.
func (c *Conn) SetNoDelay(on bool) error {
	return c.setInt(unix.IPPROTO_TCP, unix.TCP_NODELAY, boolInt(on))
}

// SetKeepAlive has TCP probe an idle peer.
func (c *Conn) SetKeepAlive(on bool) error {
	return c.setInt(unix.SOL_SOCKET, unix.SO_KEEPALIVE, boolInt(on))
}

// keepAlivePeriod is package net's default for idle time and interval.
const keepAlivePeriod = 15 * time.Second

// SetKeepAlivePeriod sets how long the peer is idle before it is probed; zero is
// 15 s, and a negative value changes nothing.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	if d < 0 {
		return nil
	}
	return c.setInt(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, secondsOr(d, keepAlivePeriod))
}

// SetKeepAliveConfig sets all of it, as *net.TCPConn does: zero durations and
// counts take the defaults of 15 s, 15 s and 9, negative ones change nothing.
func (c *Conn) SetKeepAliveConfig(cfg net.KeepAliveConfig) error {
	if err := c.SetKeepAlive(cfg.Enable); err != nil {
		return err
	}
	for _, o := range []struct {
		opt, v int
	}{
		{unix.TCP_KEEPIDLE, secondsOr(cfg.Idle, keepAlivePeriod)},
		{unix.TCP_KEEPINTVL, secondsOr(cfg.Interval, keepAlivePeriod)},
		{unix.TCP_KEEPCNT, countOr(cfg.Count, 9)},
	} {
		if o.v < 0 {
			continue
		}
		if err := c.setInt(unix.IPPROTO_TCP, o.opt, o.v); err != nil {
			return err
		}
	}
	return nil
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func secondsOr(d, def time.Duration) int {
	if d < 0 {
		return -1
	}
	if d == 0 {
		d = def
	}
	return seconds(d)
}

func countOr(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

// SetLinger sets SO_LINGER. With zero, Close drops what is queued and resets the
// connection; a negative value goes back to sending it in the background. A
// positive one bounds that, in seconds of at most 127: unlike a blocking
// socket's, Close does not wait for it.
func (c *Conn) SetLinger(sec int) error {
	err := c.control("set", func(fd int) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: int32(boolInt(sec == 0))})
	})
	if err == nil {
		c.l.mu.Lock()
		c.end.abort, c.end.seconds = sec == 0, int8(min(max(sec, 0), 127))
		c.l.mu.Unlock()
	}
	return err
}

// SetReadBuffer sets SO_RCVBUF.
func (c *Conn) SetReadBuffer(bytes int) error {
	return c.setInt(unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
}

// SetWriteBuffer sets SO_SNDBUF.
func (c *Conn) SetWriteBuffer(bytes int) error {
	return c.setInt(unix.SOL_SOCKET, unix.SO_SNDBUF, bytes)
}

// File returns a duplicate of the descriptor, which the caller closes. What is
// queued in c is not yet sent, and what has been harvested is not in it: do not
// read and write through both.
func (c *Conn) File() (f *os.File, err error) {
	fd, err := c.Dup()
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "esca connection"), nil
}

// Dup is File, without the *os.File around the descriptor.
func (c *Conn) Dup() (dup int, err error) {
	err = c.control("file", func(fd int) (err error) {
		if dup, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			c.l.mu.Lock()
			c.end.duped, c.end.prompt = true, false
			c.l.mu.Unlock()
		}
		return err
	})
	if err != nil {
		return -1, err
	}
	return dup, nil
}

// MultipathTCP reports whether the connection uses Multipath TCP.
func (c *Conn) MultipathTCP() (on bool, err error) {
	const isMPTCP = 43 // TCP_IS_MPTCP of linux/tcp.h
	err = c.control("get", func(fd int) error {
		v, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, isMPTCP)
		if err == unix.ENOPROTOOPT || err == unix.EOPNOTSUPP { // a kernel, or a socket, that knows nothing of it
			return nil
		}
		on = v != 0
		return err
	})
	return on, err
}

// SyscallConn gives access to the descriptor. Control runs f at once; Read and
// Write run f again and again, whenever the loop has seen the connection become
// readable or writable, until it returns true. What the loop has received
// already is Conn.Read's: f of Read finds only what comes later. f of Write
// comes after what was written before.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

type rawConn struct{ c *Conn }

// show notes that somebody sees the descriptor, who may set SO_LINGER.
func (c *Conn) show() {
	c.l.mu.Lock()
	c.end.prompt = false
	c.l.mu.Unlock()
}

func (r rawConn) Control(f func(fd uintptr)) error {
	r.c.show()
	return r.c.control("raw-control", func(fd int) error { f(uintptr(fd)); return nil })
}

func (r rawConn) Read(f func(fd uintptr) bool) error {
	return r.until(f, "raw-read", func() error {
		c := r.c
		c.holdForGood()
		switch {
		case c.end.state != endOpen:
			return net.ErrClosed
		case c.readLate():
			return os.ErrDeadlineExceeded
		case !c.in.more && c.in.state != inEnded: // whatever is in c.in.buf
			c.await(&c.readers)
		}
		c.in.more = false
		return nil
	})
}

func (r rawConn) Write(f func(fd uintptr) bool) error {
	c := r.c
	c.l.mu.Lock()
	err := c.drained()
	c.l.mu.Unlock()
	if err != nil {
		return c.opError("raw-write", err)
	}
	return r.until(f, "raw-write", func() error {
		if c.out.state == outEmpty {
			c.out.state = outBlocked
			c.dirty()
		}
		return c.drained()
	})
}

func (r rawConn) until(f func(fd uintptr) bool, op string, wait func() error) error {
	c := r.c
	c.show()
	if op == "raw-read" {
		// From here on what arrives stays in the socket, for f.
		c.l.mu.Lock()
		c.holdForGood()
		c.l.mu.Unlock()
		defer func() {
			c.l.mu.Lock()
			c.in.more = c.in.state != inEnded // the next Read looks for itself
			c.l.mu.Unlock()
		}()
	}
	for done := false; ; {
		if err := c.control(op, func(fd int) error { done = f(uintptr(fd)); return nil }); err != nil || done {
			return err
		}
		c.l.mu.Lock()
		err := wait()
		c.l.mu.Unlock()
		if err != nil {
			return c.opError(op, err)
		}
	}
}
