//go:build linux

package poller

import (
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// outcome is an entry that has a certain result, if it is run.
type outcome struct {
	nr     uint32
	size   int   // which argument is the size of the transfer; 0: none is
	asked  int64 // and how much is asked for
	ret    int64
	breaks bool // what is linked to it is not run
}

var outcomes = []outcome{
	{nr: Nop},
	{nr: unix.SYS_SENDTO, size: 2, asked: 10, ret: 10},
	{nr: unix.SYS_SENDTO, size: 2, asked: 10, ret: 9, breaks: true},
	{nr: unix.SYS_SENDTO, size: 2, asked: 10, ret: -int64(unix.EAGAIN), breaks: true},
	{nr: unix.SYS_SENDTO, size: 2, asked: 0, ret: 0},
	{nr: unix.SYS_RECVFROM, size: 2, asked: 10, ret: 10},
	{nr: unix.SYS_RECVFROM, size: 2, asked: 10, ret: 0, breaks: true},
	{nr: unix.SYS_WRITE, size: 2, asked: 10, ret: 1, breaks: true},
	{nr: unix.SYS_READ, size: 2, asked: 10, ret: 1, breaks: true},
	{nr: unix.SYS_SENDFILE, size: 3, asked: 1 << 31, ret: 1 << 31},
	{nr: unix.SYS_SENDFILE, size: 3, asked: 1 << 31, ret: 1<<31 - 1, breaks: true},
	{nr: unix.SYS_SPLICE, size: 4, asked: 10, ret: 5, breaks: true},
	{nr: unix.SYS_CLOSE, ret: 0},
	{nr: unix.SYS_CLOSE, ret: -int64(unix.EBADF), breaks: true},
	{nr: unix.SYS_ACCEPT4, ret: 5},
	{nr: unix.SYS_EPOLL_CTL, ret: 0},
}

// FuzzChain compares Chain with what a chain is by definition: entries that are
// linked form one, it is run up to the first that breaks it, the rest is
// cancelled. Each byte is an entry: how it turns out (4 bits), and whether it is
// linked.
func FuzzChain(f *testing.F) {
	for _, seed := range []string{"", "\x01", "\x13\x01", "\x11\x12\x1c\x0c", "\x13\x10\x01\x11\x01", "\x12\x1c\x11", "\x1a\x1c\x0c\x19\x0c"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		script = script[:min(len(script), 256)]
		entries := make([]Entry, len(script))
		want := make([]int64, len(script))
		var run []int
		var counts Counts
		for i := 0; i < len(script); {
			broken := false
			for last := false; !last && i < len(script); i++ {
				o := outcomes[script[i]&15]
				last = script[i]&16 == 0
				entries[i] = Entry{NR: o.nr, Ret: 77}
				if !last {
					entries[i].Flags = Link
				}
				if o.size > 0 {
					entries[i].Args[o.size] = uint64(o.asked)
				}
				if broken {
					want[i] = -int64(unix.ECANCELED)
					continue
				}
				want[i], broken = o.ret, o.breaks
				run = append(run, i)
				if o.nr != Nop {
					counts.Crossings++
					counts.ByCall[callOf(o.nr)]++
				}
			}
		}

		var ran []int
		got := Chain(entries, func(e *Entry) {
			i := int((uintptr(unsafe.Pointer(e)) - uintptr(unsafe.Pointer(&entries[0]))) / entrySize)
			ran = append(ran, i)
			e.Ret = outcomes[script[i]&15].ret
		})
		if !slices.Equal(ran, run) {
			t.Errorf("ran %v, want %v", ran, run)
		}
		for i := range entries {
			if entries[i].Ret != want[i] {
				t.Errorf("entry %d: %d, want %d", i, entries[i].Ret, want[i])
			}
		}
		if got != counts {
			t.Errorf("counted %+v, want %+v", got, counts)
		}
	})
}

// The vectored calls say in Args[5] what they are asked for.
func TestShortVectors(t *testing.T) {
	for _, nr := range []uint32{unix.SYS_WRITEV, unix.SYS_READV, unix.SYS_SENDMSG, unix.SYS_RECVMSG} {
		for ret, want := range map[int64]bool{0: true, 9: true, 10: false} {
			e := Entry{NR: nr, Ret: ret, Args: [6]uint64{5: 10}}
			if e.short() != want {
				t.Errorf("number %d: %d of 10 is short: %v", nr, ret, !want)
			}
			if e.Args[5] = 0; e.short() {
				t.Errorf("number %d: %d of nothing said is short", nr, ret)
			}
		}
	}
}

func TestCallOf(t *testing.T) {
	for nr, want := range map[uint32]Call{
		unix.SYS_SENDTO: CallSend, unix.SYS_SENDMSG: CallSend, unix.SYS_WRITE: CallSend, unix.SYS_WRITEV: CallSend,
		unix.SYS_RECVFROM: CallRecv, unix.SYS_READ: CallRecv, unix.SYS_READV: CallRecv,
		unix.SYS_ACCEPT4: CallAccept, unix.SYS_CLOSE: CallClose, unix.SYS_SENDFILE: CallSendfile,
		unix.SYS_SHUTDOWN: CallShutdown, unix.SYS_EPOLL_CTL: CallEpollCtl, unix.SYS_EPOLL_PWAIT: CallEpollWait,
		unix.SYS_GETPPID: CallOther,
	} {
		var c Counts
		c.CountCall(&Entry{NR: nr})
		if c.Crossings != 1 || c.ByCall[want] != 1 {
			t.Errorf("number %d: %+v, want one %s", nr, c, want)
		}
	}
}
