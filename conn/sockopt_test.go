//go:build linux && (amd64 || arm64)

package conn_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
)

// sfOptions are the methods of *net.TCPConn that set something.
type sfOptions interface {
	net.Conn
	syscall.Conn
	SetNoDelay(bool) error
	SetKeepAlive(bool) error
	SetKeepAlivePeriod(time.Duration) error
	SetKeepAliveConfig(net.KeepAliveConfig) error
	SetLinger(int) error
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
	File() (*os.File, error)
}

var _ = []sfOptions{(*net.TCPConn)(nil), (*conn.Conn)(nil)}

// sfSettings is what the kernel has.
type sfSettings struct {
	noDelay, keepAlive, idle, interval, count, receive, send int
}

func sfSettingsOf(t *testing.T, c syscall.Conn) (s sfSettings) {
	t.Helper()
	rc, err := c.SyscallConn()
	sfMust(t, err)
	sfMust(t, rc.Control(func(fd uintptr) {
		for _, o := range []struct {
			v          *int
			level, opt int
		}{
			{&s.noDelay, unix.IPPROTO_TCP, unix.TCP_NODELAY},
			{&s.keepAlive, unix.SOL_SOCKET, unix.SO_KEEPALIVE},
			{&s.idle, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
			{&s.interval, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
			{&s.count, unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
			{&s.receive, unix.SOL_SOCKET, unix.SO_RCVBUF},
			{&s.send, unix.SOL_SOCKET, unix.SO_SNDBUF},
		} {
			var err error
			if *o.v, err = unix.GetsockoptInt(int(fd), o.level, o.opt); err != nil {
				t.Error(err)
			}
		}
	}))
	return s
}

// TestOptionsAsNet sets the same on a connection of each kind, after both were
// given the same beginnings, and compares what the kernel then has.
func TestOptionsAsNet(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(sfOptions) error
	}{
		{"no delay off", func(c sfOptions) error { return c.SetNoDelay(false) }},
		{"no delay on", func(c sfOptions) error { c.SetNoDelay(false); return c.SetNoDelay(true) }},
		{"keepalive on", func(c sfOptions) error { return c.SetKeepAlive(true) }},
		{"keepalive off", func(c sfOptions) error { c.SetKeepAlive(true); return c.SetKeepAlive(false) }},
		{"period", func(c sfOptions) error { return c.SetKeepAlivePeriod(42 * time.Second) }},
		{"period of a part of a second", func(c sfOptions) error { return c.SetKeepAlivePeriod(1100 * time.Millisecond) }},
		{"period of a nanosecond", func(c sfOptions) error { return c.SetKeepAlivePeriod(1) }},
		{"period by default", func(c sfOptions) error { return c.SetKeepAlivePeriod(0) }},
		{"period as it is", func(c sfOptions) error { return c.SetKeepAlivePeriod(-1) }},
		{"period too long", func(c sfOptions) error { return c.SetKeepAlivePeriod(100_000 * time.Second) }},
		{"config", func(c sfOptions) error {
			return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 7 * time.Second, Interval: 8 * time.Second, Count: 5})
		}},
		{"config by default", func(c sfOptions) error { return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}) }},
		{"config as it is", func(c sfOptions) error {
			return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1})
		}},
		{"config off", func(c sfOptions) error { return c.SetKeepAliveConfig(net.KeepAliveConfig{}) }},
		{"config too long", func(c sfOptions) error {
			return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Count: 1000})
		}},
		{"read buffer", func(c sfOptions) error { return c.SetReadBuffer(20_000) }},
		{"write buffer", func(c sfOptions) error { return c.SetWriteBuffer(30_000) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got [2]sfSettings
			var errs [2]error
			for i, ofNet := range []bool{true, false} {
				nc, _ := sfPair(t, "tcp", ofNet)
				c := nc.(sfOptions)
				sfMust(t, c.SetKeepAliveConfig(net.KeepAliveConfig{Idle: 100 * time.Second, Interval: 50 * time.Second, Count: 4}))
				errs[i] = tt.set(c)
				got[i] = sfSettingsOf(t, c)
			}
			if got[1] != got[0] {
				t.Errorf("%+v, package net has %+v", got[1], got[0])
			}
			var no, yes syscall.Errno
			errors.As(errs[0], &no)
			if errors.As(errs[1], &yes); no != yes || (errs[0] == nil) != (errs[1] == nil) {
				t.Errorf("%v, package net has %v", errs[1], errs[0])
			}
		})
	}
}

// TestOptionsAfterClose has each of them fail as any use of a closed connection.
func TestOptionsAfterClose(t *testing.T) {
	for _, side := range sfSides[:2] {
		t.Run(side.name, func(t *testing.T) {
			nc, _ := sfPair(t, "tcp", side.ofNet)
			nc.Close()
			c := nc.(sfOptions)
			_, ferr := c.File()
			rc, err := c.SyscallConn()
			sfMust(t, err)
			for what, err := range map[string]error{
				"SetNoDelay": c.SetNoDelay(true), "SetKeepAlive": c.SetKeepAlive(true), "SetKeepAlivePeriod": c.SetKeepAlivePeriod(time.Second),
				"SetKeepAliveConfig": c.SetKeepAliveConfig(net.KeepAliveConfig{}), "SetLinger": c.SetLinger(0),
				"SetReadBuffer": c.SetReadBuffer(9000), "SetWriteBuffer": c.SetWriteBuffer(9000), "File": ferr,
				"Control": rc.Control(func(uintptr) { t.Error("Control calls") }),
				"Read":    rc.Read(func(uintptr) bool { t.Error("Read calls"); return true }),
				"Write":   rc.Write(func(uintptr) bool { t.Error("Write calls"); return true }),
			} {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// TestTCPOptionsOnUnix has what only TCP knows fail, and the rest work.
func TestTCPOptionsOnUnix(t *testing.T) {
	nc, _ := sfPair(t, "unix", false)
	c := nc.(sfOptions)
	for what, err := range map[string]error{
		"SetNoDelay": c.SetNoDelay(true), "SetKeepAlivePeriod": c.SetKeepAlivePeriod(time.Second),
		"SetKeepAliveConfig": c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}),
	} {
		var op *net.OpError
		if !errors.As(err, &op) || !errors.Is(err, syscall.EOPNOTSUPP) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{"SetReadBuffer": c.SetReadBuffer(9000), "SetWriteBuffer": c.SetWriteBuffer(9000)} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestSetLingerZeroResets has Close reset the connection, and lose what the peer
// does not take; a negative value undoes it.
func TestSetLingerZeroResets(t *testing.T) {
	for _, side := range sfSides[:2] {
		for _, tt := range []struct {
			name  string
			secs  []int
			reset bool
		}{
			{"zero", []int{0}, true},
			{"negative", []int{-1}, false},
			{"zero undone", []int{0, -1}, false},
			{"positive", []int{20}, false},
		} {
			t.Run(side.name+" "+tt.name, func(t *testing.T) {
				c, peer := sfPair(t, "tcp", side.ofNet)
				for _, sec := range tt.secs {
					sfMust(t, c.(sfOptions).SetLinger(sec))
				}
				if _, err := io.WriteString(c, "hello"); err != nil {
					t.Fatal(err)
				}
				_, err := io.ReadFull(peer, make([]byte, 5))
				sfMust(t, err)
				c.Close()
				_, err = peer.Read(make([]byte, 1))
				if reset := errors.Is(err, syscall.ECONNRESET); reset != tt.reset || !reset && err != io.EOF {
					t.Errorf("the peer reads %v, want a reset: %v", err, tt.reset)
				}
			})
		}
	}
}

// TestSetLingerBoundsClose closes a connection whose peer takes nothing more: it
// is kept no longer than SetLinger says, though the listener would keep it on.
func TestSetLingerBoundsClose(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithLinger(time.Hour), conn.WithHighWater(4<<20))
	c, peer := pipe(t, ln, false)
	sfNarrow(t, c.(sfConn), peer)
	sfMust(t, c.(sfOptions).SetLinger(1))
	for range 200 { // 3 MB, which the queue takes and the sockets do not
		if _, err := c.Write(make([]byte, 15_000)); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	ln.Close()
	done := make(chan struct{})
	go func() { ln.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience / 3):
		t.Error("the limit of a second is long over, and the connection still there")
		peer.(*net.TCPConn).SetLinger(0)
	}
	peer.Close()
	sfWait(t, "the loop", done)
}

// TestAcceptedInherit looks at what connections have from their listening socket.
func TestAcceptedInherit(t *testing.T) {
	listening := func(opts ...conn.Option) func(*testing.T) *conn.Listener {
		return func(t *testing.T) *conn.Listener {
			return listen(t, "tcp", "127.0.0.1:0", append(opts, conn.WithLoops(2))...)
		}
	}
	taken := func(opts ...conn.Option) func(*testing.T) *conn.Listener {
		return func(t *testing.T) *conn.Listener {
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			sfMust(t, err)
			ln, err := conn.FromListener(inner, append(opts, conn.WithLoops(2))...)
			sfMust(t, err)
			return ln
		}
	}
	for _, tt := range []struct {
		name   string
		listen func(*testing.T) *conn.Listener
		later  time.Duration // SetKeepAlive, or -1
		want   sfSettings    // idle zero: not looked at
	}{
		{"by default", listening(), -1, sfSettings{noDelay: 1}},
		{"with keepalive", listening(conn.WithKeepAlive(42 * time.Second)), -1, sfSettings{noDelay: 1, keepAlive: 1, idle: 42, interval: 42}},
		{"with part of a second", listening(conn.WithKeepAlive(time.Millisecond)), -1, sfSettings{noDelay: 1, keepAlive: 1, idle: 1, interval: 1}},
		{"keepalive set later", listening(), 43 * time.Second, sfSettings{noDelay: 1, keepAlive: 1, idle: 43, interval: 43}},
		{"keepalive set later, of the system", listening(), 0, sfSettings{noDelay: 1, keepAlive: 1}},
		{"of package net's listener", taken(), -1, sfSettings{noDelay: 1}},
		{"of package net's listener, with keepalive", taken(conn.WithKeepAlive(44 * time.Second)), -1, sfSettings{noDelay: 1, keepAlive: 1, idle: 44, interval: 44}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := tt.listen(t)
			defer sfEnds(t, ln)
			if tt.later >= 0 {
				sfMust(t, ln.SetKeepAlive(tt.later))
			}
			for i := 0; i < 8 && !t.Failed(); i++ { // among them, as a rule, some of each loop
				c, peer := pipe(t, ln, false)
				got := sfSettingsOf(t, c.(syscall.Conn))
				got.count, got.receive, got.send = 0, 0, 0
				if tt.want.idle == 0 {
					got.idle, got.interval = 0, 0
				}
				if got != tt.want {
					t.Errorf("%+v, want %+v", got, tt.want)
				}
				c.Close()
				peer.Close()
			}
		})
	}
}

// TestSetKeepAliveAfterClose must not reach the sockets that have been given the
// closed ones' numbers since.
func TestSetKeepAliveAfterClose(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(4))
	sfEnds(t, ln)
	var others []*net.TCPListener
	for range 30 {
		other, err := net.Listen("tcp", "127.0.0.1:0")
		sfMust(t, err)
		defer other.Close()
		others = append(others, other.(*net.TCPListener))
	}
	if err := ln.SetKeepAlive(time.Minute); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetKeepAlive: %v", err)
	}
	changed := 0
	for _, other := range others {
		if sfSettingsOf(t, other).keepAlive != 0 {
			changed++
		}
	}
	if changed > 0 {
		t.Errorf("%d sockets of others were changed", changed)
	}
}
