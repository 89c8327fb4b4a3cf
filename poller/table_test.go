//go:build linux

package poller

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// table is one that a ring takes whole: chains that hold and that break, closes
// within and without, and descriptors that come twice.
type table struct {
	near, far [7]int32
	in        []byte
	full      int // what the full socket held before
}

const tableSize = 12

func newTable(t *testing.T, sh *Shared) *table {
	t.Helper()
	tb := &table{in: sh.Arena[1<<10:][:8]}
	for i := range tb.near {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		tb.near[i], tb.far[i] = int32(p[0]), int32(p[1])
	}
	for {
		n, err := unix.Write(int(tb.near[4]), make([]byte, 32<<10))
		if err != nil {
			break
		}
		tb.full += n
	}
	unix.Write(int(tb.far[3]), []byte("hello"))
	clear(tb.in)

	copy(sh.Arena, "abcddef")
	at := func(i int) unsafe.Pointer { return unsafe.Pointer(&sh.Arena[i]) }
	iov := (*unix.Iovec)(at(128))
	*iov = unix.Iovec{Base: (*byte)(at(3)), Len: 2}
	msg := (*unix.Msghdr)(at(256))
	*msg = unix.Msghdr{Iov: iov, Iovlen: 1}
	e := sh.Entries
	for i := range tableSize {
		e[i].Ret = 0x7ee7
	}
	e[0].Send(tb.near[0], at(0), 1, 0)
	e[1].Send(tb.near[1], at(1), 1, 0)
	e[2].Send(tb.near[1], at(2), 1, 0)
	e[3].CloseFD(tb.near[1])
	e[4].SendMsg(tb.near[2], msg)
	e[5].Recv(tb.near[3], unsafe.Pointer(&tb.in[0]), len(tb.in))
	e[6].Send(tb.near[4], at(0), 1, 0)
	e[7].CloseFD(tb.near[4])
	e[8].Send(tb.near[0], at(5), 1, 0)
	e[9].CloseFD(tb.near[5])
	e[10].Send(tb.near[6], at(6), 1, 0)
	e[11].CloseFD(tb.near[6])
	for _, i := range []int{1, 2, 6, 10} {
		e[i].Flags = Link
	}
	return tb
}

// closed are the descriptors that the table closes.
func (tb *table) closed() []int32 { return []int32{tb.near[1], tb.near[5], tb.near[6]} }

// seen is what the table has done, as far as anybody can tell.
func (tb *table) seen(sh *Shared) string {
	var s strings.Builder
	for i := range tableSize {
		fmt.Fprintf(&s, "%d ", sh.Entries[i].Ret)
	}
	fmt.Fprintf(&s, "in %q", bytes.TrimRight(tb.in, "\x00"))
	for i, fd := range tb.far {
		fmt.Fprintf(&s, " %d", i)
		if i == 4 {
			got := 0
			for buf := make([]byte, 64<<10); ; {
				n, err := unix.Read(int(fd), buf)
				if n <= 0 {
					fmt.Fprintf(&s, " %v", err)
					break
				}
				got += n
			}
			fmt.Fprintf(&s, "+%d", got-tb.full)
			continue
		}
		if slices.Contains(tb.closed(), tb.near[i]) {
			// A ring lets go of what it has closed when it has done with what came
			// before, which may be later.
			unix.Poll([]unix.PollFd{{Fd: fd, Events: unix.POLLRDHUP}}, 10_000)
		}
		for {
			var buf [16]byte
			n, err := unix.Read(int(fd), buf[:])
			if fmt.Fprintf(&s, "%q", buf[:max(n, 0)]); n <= 0 {
				if err == nil {
					s.WriteString("$")
				}
				break
			}
		}
	}
	return s.String()
}

func (tb *table) close() {
	for i := range tb.near {
		if !slices.Contains(tb.closed(), tb.near[i]) {
			unix.Close(int(tb.near[i]))
		}
		unix.Close(int(tb.far[i]))
	}
}
