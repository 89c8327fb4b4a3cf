package clients

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// progress is what was seen of a connection's output. Only watch touches it.
type progress struct {
	queued int    // bytes that the kernel has and the peer has not
	acked  uint64 // bytes that the peer has had, on TCP
	since  time.Time
}

// stalled returns for how long c has had something to send of which its peer has
// taken nothing. On a unix socket no count of what was taken is to be had: there
// it is what waits that has to change.
func (p *progress) stalled(c net.Conn, now time.Time) time.Duration {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return 0
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	seen := progress{since: now}
	rc.Control(func(fd uintptr) {
		if seen.queued, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err != nil || seen.queued == 0 {
			return
		}
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			seen.acked = info.Bytes_acked
		}
	})
	if err == nil && seen.queued > 0 && p.queued > 0 && seen.acked == p.acked && (seen.acked > 0 || seen.queued == p.queued) {
		p.queued = seen.queued
		return now.Sub(p.since)
	}
	*p = seen
	return 0
}
