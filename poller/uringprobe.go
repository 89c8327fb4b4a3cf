//go:build linux

package poller

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Probe makes a ring and has it do what it is needed for: features are tried,
// never taken from the kernel's version.
func (uringFactory) Probe() Probe {
	p := Probe{Name: "uring"}
	err := tryRing()
	if err == nil {
		return p
	}
	p.Status, p.Reason = Unavailable, whyNoRing(err).Error()
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.EAGAIN) || errors.Is(err, errInconclusive) {
		p.Status = Inconclusive
	}
	return p
}

var errInconclusive = errors.New("the probe cannot be carried out")

// tryRing has a ring send, receive, break a chain at a short send, and close.
func tryRing() error {
	r, err := openRing(8)
	if err != nil {
		return err
	}
	defer r.close()
	if ringWorks.Load() {
		return nil
	}
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errInconclusive, err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	sh, err := NewShared(Config{Entries: 8, Events: 1, Slots: 1, SlotSize: AcceptedSize, Arena: 1 << 20, MaxFD: 1})
	if err != nil {
		return fmt.Errorf("%w: %w", errInconclusive, err)
	}
	defer sh.Unmap()
	unix.SetsockoptInt(p[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
	u := &uring{refusable: refusable{direct: direct{sh: sh}}, ring: r, pays: 1}
	buf, e := sh.Arena, sh.Entries
	copy(buf, "probe")
	e[0].Send(int32(p[0]), addrOf(buf), 5, 0)
	e[1].Recv(int32(p[1]), addrOf(buf[100:]), 10)
	u.Run(2)
	if e[0].Ret != 5 || e[1].Ret != 5 || !bytes.Equal(buf[100:105], []byte("probe")) {
		return fmt.Errorf("io_uring cannot send and receive on a socket: %d, %d", e[0].Ret, e[1].Ret)
	}
	e[0].Send(int32(p[0]), addrOf(buf), len(buf), 0)
	e[0].Flags = Link
	e[1].CloseFD(-1)
	u.Run(2)
	if e[0].Ret <= 0 || e[0].Ret >= int64(len(buf)) || e[1].Ret != -int64(unix.ECANCELED) {
		return fmt.Errorf("io_uring does not break a chain at a short send: %d, %d", e[0].Ret, e[1].Ret)
	}
	e[0].Send(int32(p[0]), addrOf(buf), 1, 0)
	u.Run(1)
	if e[0].Ret != -int64(unix.EAGAIN) {
		return fmt.Errorf("io_uring waits for a full socket: %d", e[0].Ret)
	}
	fd, err := unix.FcntlInt(uintptr(p[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errInconclusive, err)
	}
	e[0].CloseFD(int32(fd))
	u.Run(1)
	if e[0].Ret != 0 {
		unix.Close(fd)
		return fmt.Errorf("io_uring cannot close: %d", e[0].Ret)
	}
	if u.why == nil { // or else direct calls have done it
		ringWorks.Store(true)
	}
	return u.why
}

// ringWorks: a ring has done all of it. What the kernel can it still can at the next
// probe; whether the process may still make a ring is asked again.
var ringWorks atomic.Bool

// whyNoRing says what err, of making a ring, means.
func whyNoRing(err error) error {
	switch {
	case errors.Is(err, unix.ENOSYS):
		return errors.New("this kernel has no io_uring")
	case errors.Is(err, unix.EPERM):
		if b, _ := os.ReadFile("/proc/sys/kernel/io_uring_disabled"); len(b) > 0 && b[0] != '0' {
			return fmt.Errorf("io_uring is switched off (sysctl kernel.io_uring_disabled=%c)", b[0])
		}
		if b, _ := os.ReadFile("/proc/self/status"); bytes.Contains(b, []byte("\nSeccomp:\t2")) {
			return errors.New("a seccomp filter forbids io_uring, as those of containers do")
		}
		return errors.New("io_uring is not permitted here")
	case errors.Is(err, unix.ENOMEM):
		return errors.New("no memory for a ring, or RLIMIT_MEMLOCK is too low (ulimit -l)")
	}
	return err
}
