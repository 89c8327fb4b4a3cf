//go:build linux

package pollertest

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

var entryCases = []testcase{
	{name: "none", run: func(r *rig) { r.expect() }},

	{name: "in order", run: func(r *rig) {
		a, b := r.pair()
		r.send(a, "one ")
		r.send(a, "two ")
		r.sendMsg(a, "th", "ree")
		r.shutdown(a, unix.SHUT_WR)
		r.send(a, "late")
		r.expect(4, 4, 5, 0, errno(unix.EPIPE))
		r.arrived(b, "one two three")
		r.ended(b)
	}},

	{name: "in order over two sockets", run: func(r *rig) {
		a, b := r.pair()
		c, d := r.pair()
		r.send(a, "x")
		_, got1 := r.recv(b, 1)
		r.send(d, "y")
		_, got2 := r.recv(c, 1)
		r.recv(c, 1)
		r.expect(1, 1, 1, 1, errno(unix.EAGAIN))
		if string(got1)+string(got2) != "xy" {
			r.Errorf("received %q and %q", got1, got2)
		}
	}},

	{name: "recv", run: func(r *rig) {
		a, b := r.pair()
		r.write(b, "abcdef")
		_, got := r.recv(a, 4)
		r.recv(a, 4)
		r.recv(a, 4)
		r.expect(4, 2, errno(unix.EAGAIN))
		if string(got) != "abcd" {
			r.Errorf("received %q", got)
		}
		r.close(b)
		r.recv(a, 4)
		r.expect(0)
	}},

	{name: "send of nothing", run: func(r *rig) {
		a, b := r.pair()
		r.send(a, "")
		r.expect(0)
		r.running(b)
	}},

	{name: "closed descriptor", run: func(r *rig) {
		a, _ := r.pair()
		r.closeFD(a)
		r.send(a, "x")
		r.recv(a, 1)
		r.shutdown(a, unix.SHUT_WR)
		r.sendMsg(a, "x")
		r.closeFD(a)
		bad := errno(unix.EBADF)
		r.expect(0, bad, bad, bad, bad, bad)
	}},

	{name: "close is seen by the peer", run: func(r *rig) {
		a, b := r.pair()
		r.send(a, "bye")
		r.closeFD(a)
		r.expect(3, 0)
		r.arrived(b, "bye")
		r.ended(b)
	}},

	{name: "full socket", run: func(r *rig) {
		a, b := r.tight()
		n := r.fill(a)
		r.send(a, "x")
		r.sendMsg(a, "x")
		r.expect(errno(unix.EAGAIN), errno(unix.EAGAIN))
		r.received(b, n)
		r.send(a, "x")
		r.expect(1)
	}},

	{name: "short send", run: func(r *rig) {
		a, b := r.tight()
		data := text(128 << 10)
		r.send(a, data)
		got := r.results()[0]
		if got <= 0 || got >= int64(len(data)) {
			r.Fatalf("sent %d of %d bytes into a socket that holds a few KiB", got, len(data))
		}
		r.arrived(b, data[:got])
	}},

	{name: "peer is gone", run: func(r *rig) {
		a, b := r.pair()
		r.close(b)
		sigs := make(chan os.Signal, 2)
		signal.Notify(sigs, unix.SIGPIPE, unix.SIGWINCH)
		defer signal.Stop(sigs)
		r.send(a, "x")
		r.sendMsg(a, "x")
		r.expect(errno(unix.EPIPE), errno(unix.EPIPE))
		// SIGPIPE would have been raised inside the call, and Go hands signals
		// over in the order of their numbers.
		r.must(unix.Kill(unix.Getpid(), unix.SIGWINCH))
		if s := <-sigs; s != unix.SIGWINCH {
			r.Errorf("signal: %v", s)
		}
	}},

	{name: "sendmsg", run: func(r *rig) {
		a, b := r.pair()
		head, body := "header\r\n", text(10_000)
		r.sendMsg(a, head, body, "!")
		r.expect(int64(len(head) + len(body) + 1))
		r.arrived(b, head+body+"!")
	}},

	{name: "sendfile with an offset", run: func(r *rig) {
		a, b := r.pair()
		content := text(9000)
		f := r.file(content)
		off := place(r, int64(1000))
		r.sendfile(a, f, off, 5000)
		r.sendfile(a, f, off, 5000)
		r.sendfile(a, f, off, 5000)
		r.expect(5000, 3000, 0)
		r.arrived(b, content[1000:])
		if *off != 9000 {
			r.Errorf("the offset is at %d", *off)
		}
		if at, err := unix.Seek(int(f), 0, unix.SEEK_CUR); at != 0 || err != nil {
			r.Errorf("the file's own offset has moved to %d, %v", at, err)
		}
	}},

	{name: "sendfile without an offset", run: func(r *rig) {
		a, b := r.tcp()
		content := text(9000)
		f := r.file(content)
		r.send(a, "header ")
		r.sendfile(a, f, nil, 5000)
		r.sendfile(a, f, nil, 5000)
		r.expect(7, 5000, 4000)
		r.arrived(b, "header "+content)
		if at, err := unix.Seek(int(f), 0, unix.SEEK_CUR); at != 9000 || err != nil {
			r.Errorf("the file's own offset is at %d, %v", at, err)
		}
	}},

	{name: "nop", run: func(r *rig) {
		a, b := r.pair()
		r.send(a, "1")
		r.nop()
		e := r.send(a, "never")
		e.NR = poller.Nop // recorded, then withdrawn: its arguments mean nothing
		r.send(a, "2")
		r.expect(1, 0, 0, 1)
		r.arrived(b, "12")
	}},

	{name: "getppid", run: func(r *rig) {
		r.add().NR = unix.SYS_GETPPID
		r.expect(int64(os.Getppid()))
	}},

	{name: "number reused within a table", run: func(r *rig) {
		l, at := r.listen("tcp4")
		c := r.dial(at)
		r.queued(l, at, 1)
		a, b := r.pair() // a is the lowest number that was free
		r.send(a, "old")
		r.closeFD(a)
		e := r.add()
		e.NR, e.Args = unix.SYS_ACCEPT4, [6]uint64{0: uint64(l), 3: unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC}
		r.send(a, "new")
		r.expect(3, 0, int64(a), 3)
		r.open[a] = true
		r.arrived(b, "old")
		r.ended(b)
		r.arrived(c, "new")
	}},

	{name: "full table", config: poller.Config{Entries: 256}, run: func(r *rig) {
		a, b := r.pair()
		sent, want := "", make([]int64, 256)
		for i := range want {
			sent += string(rune('a' + i%26))
			r.send(a, sent[i:])
			want[i] = 1
		}
		r.expect(want...)
		r.arrived(b, sent)
		r.send(a, "again")
		r.expect(5)
	}},
}
