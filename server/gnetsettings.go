//go:build linux && (amd64 || arm64)

package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/bits"
	"net/url"
	"path"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"github.com/panjf2000/gnet/v2/pkg/socket"

	"github.com/escahttp/esca/conn"
)

// gnetAddr is one of the addresses of a Run.
type gnetAddr struct{ given, network, address string }

// gnetSettings is what the options and addresses of a Run ask for.
type gnetSettings struct {
	gnet.Options
	streams   []gnetAddr // tcp and unix: ours
	datagrams []gnetAddr // udp
	tls       *tls.Config
	flush     logging.Flusher // of Logger, may be nil
	turn      int             // bytes that a connection is served before its neighbours
}

const (
	mostLoops    = 256     // gnet has no more
	leastReadCap = 1 << 10 // gnet's least
	defaultTurn  = 1 << 20
)

func newGnetSettings(addrs []string, cfg *tls.Config, opts []gnet.Option) (*gnetSettings, error) {
	s := &gnetSettings{tls: cfg, turn: defaultTurn}
	for _, opt := range opts {
		opt(&s.Options)
	}
	for _, given := range addrs {
		a, err := parseGnetAddr(given)
		if err != nil {
			return nil, fmt.Errorf("esca: address %q: %w", given, err)
		}
		if strings.HasPrefix(a.network, "udp") {
			s.datagrams = append(s.datagrams, a)
		} else {
			s.streams = append(s.streams, a)
		}
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.NumEventLoop <= 0 {
		s.NumEventLoop = 1
		if s.Multicore {
			s.NumEventLoop = runtime.NumCPU()
		}
	}
	s.NumEventLoop = min(s.NumEventLoop, mostLoops)
	switch {
	case s.ReadBufferCap <= 0:
		s.ReadBufferCap = gnet.MaxStreamBufferCap
	default:
		s.ReadBufferCap = powerOfTwo(max(s.ReadBufferCap, leastReadCap))
	}
	if s.EdgeTriggeredIOChunk > 0 {
		s.turn = powerOfTwo(s.EdgeTriggeredIOChunk)
	}
	return s, s.openLog()
}

// check refuses what cannot be had.
func (s *gnetSettings) check() error {
	switch {
	case len(s.streams)+len(s.datagrams) == 0:
		return gneterrors.ErrInvalidNetworkAddress
	case s.LockOSThread && s.NumEventLoop > 10_000:
		return gneterrors.ErrTooManyEventLoopThreads
	case s.MulticastInterfaceIndex != 0 && len(s.datagrams) == 0:
		return errors.New("esca: option MulticastInterfaceIndex needs a udp address: there is none")
	case s.tls != nil && len(s.datagrams) > 0:
		return fmt.Errorf("esca: RunTLS needs a tcp or a unix address, not %s", s.datagrams[0].given)
	case s.tls != nil && s.LockOSThread:
		return errors.New("esca: option LockOSThread cannot be had with RunTLS: a handshake waits on a coroutine, which has no thread")
	case s.tls != nil && len(s.tls.Certificates) == 0 && s.tls.GetCertificate == nil && s.tls.GetConfigForClient == nil:
		return errors.New("esca: RunTLS needs a certificate: set Certificates or GetCertificate of its tls.Config")
	}
	return nil
}

func powerOfTwo(n int) int { return 1 << bits.Len(uint(n-1)) }

// openLog settles on a logger, as gnet does: the one given, a file, or the default.
func (s *gnetSettings) openLog() (err error) {
	switch {
	case s.Logger != nil:
	case s.LogPath != "":
		s.Logger, s.flush, err = logging.CreateLoggerAsLocalFile(s.LogPath, s.LogLevel)
	default:
		s.Logger, s.flush = logging.GetDefaultLogger(), logging.GetDefaultFlusher()
	}
	return err
}

// parseGnetAddr reads an address as gnet does.
func parseGnetAddr(given string) (gnetAddr, error) {
	u, err := url.Parse(strings.ReplaceAll(given, "%", "%25"))
	if err != nil {
		return gnetAddr{}, err
	}
	switch u.Scheme {
	case "":
		return gnetAddr{}, gneterrors.ErrInvalidNetworkAddress
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
		if u.Host == "" || u.Path != "" {
			return gnetAddr{}, gneterrors.ErrInvalidNetworkAddress
		}
		return gnetAddr{given, u.Scheme, u.Host}, nil
	case "unix":
		file := path.Join(u.Host, u.Path)
		if file == "" {
			return gnetAddr{}, gneterrors.ErrInvalidNetworkAddress
		}
		return gnetAddr{given, u.Scheme, file}, nil
	}
	return gnetAddr{}, gneterrors.ErrUnsupportedProtocol
}

// connOptions says the same to package conn, for the stream addresses.
func (s *gnetSettings) connOptions() []conn.Option {
	opts := []conn.Option{
		conn.WithLoops(s.NumEventLoop),
		conn.WithDispatch(conn.DispatchDirect),
		// What gnet calls a single thread must stay one: its applications
		// share data between callbacks without locks then.
		conn.WithSteals(s.NumEventLoop > 1),
		conn.WithLogger(gnetLog{s.Logger}),
		conn.WithControl(s.control),
	}
	if s.tls != nil {
		opts = append(opts, conn.WithDispatch(conn.DispatchAdaptive)) // handshakes wait
	}
	if s.LockOSThread {
		opts = append(opts, conn.WithThreads())
	}
	switch {
	case s.ReusePort && s.streams[0].network != "unix":
		opts = append(opts, conn.WithSharedPort())
	case s.LB == gnet.LeastConnections:
		opts = append(opts, conn.WithBalance(conn.BalanceLeast))
	case s.LB == gnet.SourceAddrHash:
		opts = append(opts, conn.WithBalance(conn.BalanceSource))
	default:
		opts = append(opts, conn.WithBalance(conn.BalanceRoundRobin))
	}
	return opts
}

// control sets the options of a listening socket.
func (s *gnetSettings) control(network, _ string, rc syscall.RawConn) error {
	var err error
	if cerr := rc.Control(func(p uintptr) { err = s.setSocketOptions(int(p), strings.HasPrefix(network, "tcp")) }); cerr != nil {
		return cerr
	}
	return err
}

func (s *gnetSettings) setSocketOptions(fd int, tcp bool) error {
	if s.BindToDevice != "" {
		if err := socket.SetBindToDevice(fd, s.BindToDevice); err != nil {
			return fmt.Errorf("esca: option BindToDevice %q: %w", s.BindToDevice, err)
		}
	}
	if s.SocketRecvBuffer > 0 {
		if err := socket.SetRecvBuffer(fd, s.SocketRecvBuffer); err != nil {
			return fmt.Errorf("esca: option SocketRecvBuffer %d: %w", s.SocketRecvBuffer, err)
		}
	}
	if s.SocketSendBuffer > 0 {
		if err := socket.SetSendBuffer(fd, s.SocketSendBuffer); err != nil {
			return fmt.Errorf("esca: option SocketSendBuffer %d: %w", s.SocketSendBuffer, err)
		}
	}
	if !tcp {
		return nil
	}
	if s.TCPNoDelay == gnet.TCPDelay {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 0); err != nil {
			return fmt.Errorf("esca: option TCPDelay: %w", err)
		}
	}
	if idle := s.TCPKeepAlive; idle > 0 {
		interval, count := s.TCPKeepInterval, s.TCPKeepCount
		if interval == 0 {
			interval = idle / 5
		}
		if count == 0 {
			count = 5
		}
		if err := socket.SetKeepAlive(fd, true, int(idle.Seconds()), int(interval.Seconds()), count); err != nil {
			return fmt.Errorf("esca: option TCPKeepAlive %v, TCPKeepInterval %v, TCPKeepCount %d: %w", idle, interval, count, err)
		}
	}
	return nil
}

// gnetLog has what loops say go where gnet's lines go.
type gnetLog struct{ logging.Logger }

func (l gnetLog) Printf(format string, args ...any) { l.Warnf(format, args...) }
