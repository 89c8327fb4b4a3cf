//go:build linux

package pollertest

import (
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

var cancelled = errno(unix.ECANCELED)

var chainCases = []testcase{
	{name: "whole", run: func(r *rig) {
		a, b := r.pair()
		content := text(5000)
		r.chain(r.send(a, "header "), r.sendfile(a, r.file(content), place(r, int64(0)), 5000), r.shutdown(a, unix.SHUT_WR))
		r.expect(7, 5000, 0)
		r.arrived(b, "header "+content)
		r.ended(b)
	}},

	{name: "first fails", run: func(r *rig) {
		a, b := r.pair()
		c, d := r.pair()
		r.close(d)
		r.chain(r.send(c, "x"), r.send(a, "never"), r.shutdown(a, unix.SHUT_WR))
		r.send(a, "behind the chain")
		r.expect(errno(unix.EPIPE), cancelled, cancelled, 16)
		r.arrived(b, "behind the chain")
		r.running(b)
	}},

	{name: "broken in the middle", run: func(r *rig) {
		a, b := r.pair()
		c, d := r.pair()
		r.close(d)
		r.chain(r.send(a, "1"), r.send(c, "x"), r.send(a, "never"), r.shutdown(a, unix.SHUT_WR))
		r.expect(1, errno(unix.EPIPE), cancelled, cancelled)
		r.arrived(b, "1")
		r.running(b)
	}},

	{name: "last fails", run: func(r *rig) {
		a, b := r.pair()
		c, d := r.pair()
		r.close(d)
		r.chain(r.send(a, "1"), r.send(c, "x"))
		r.send(a, "2")
		r.expect(1, errno(unix.EPIPE), 1)
		r.arrived(b, "12")
	}},

	{name: "two back to back", run: func(r *rig) {
		a, b := r.pair()
		c, d := r.pair()
		r.close(d)
		r.chain(r.send(c, "x"), r.send(a, "never"))
		r.chain(r.send(a, "1"), r.send(a, "2"))
		r.chain(r.send(a, "3"), r.send(c, "x"), r.send(a, "never"))
		r.chain(r.send(a, "4"), r.send(a, "5"))
		gone := errno(unix.EPIPE)
		r.expect(gone, cancelled, 1, 1, 1, gone, cancelled, 1, 1)
		r.arrived(b, "12345")
	}},

	{name: "full socket", run: func(r *rig) {
		a, b := r.tight()
		n := r.fill(a)
		r.chain(r.send(a, "x"), r.closeFD(a))
		r.open[a] = true
		r.expect(errno(unix.EAGAIN), cancelled)
		r.received(b, n)
		r.running(b)
	}},

	{name: "short send", run: func(r *rig) {
		a, b := r.tight()
		data := text(64 << 10)
		r.chain(r.send(a, data), r.send(a, "never"), r.closeFD(a))
		r.open[a] = true
		r.short(len(data), cancelled, cancelled)
		r.arrived(b, data[:r.sh.Entries[0].Ret])
		r.running(b)
	}},

	{name: "short sendmsg", run: func(r *rig) {
		a, b := r.tight()
		data := text(64 << 10)
		r.chain(r.sendMsg(a, data[:10], data[10:1000], data[1000:]), r.send(a, "never"))
		r.short(len(data), cancelled)
		r.arrived(b, data[:r.sh.Entries[0].Ret])
	}},

	{name: "sendmsg", run: func(r *rig) {
		a, b := r.pair()
		r.chain(r.sendMsg(a, "1", "22", "333"), r.send(a, "!"))
		r.expect(6, 1)
		r.arrived(b, "122333!")
	}},

	{name: "sendfile at the end of the file", run: func(r *rig) {
		a, b := r.pair()
		content := text(3000)
		f := r.file(content)
		off := place(r, int64(0))
		r.chain(r.sendfile(a, f, off, 3001), r.send(a, "never"))
		r.chain(r.sendfile(a, f, off, 1), r.send(a, "never"))
		r.expect(3000, cancelled, 0, cancelled)
		r.arrived(b, content)
	}},

	{name: "short sendfile", run: func(r *rig) {
		a, b := r.tight()
		content := text(256 << 10)
		off := place(r, int64(0))
		r.chain(r.sendfile(a, r.file(content), off, int64(len(content))), r.closeFD(a))
		r.open[a] = true
		r.short(len(content), cancelled)
		n := r.sh.Entries[0].Ret
		r.arrived(b, content[:n])
		if *off != n {
			r.Errorf("%d bytes were sent, and the offset is at %d", n, *off)
		}
	}},

	{name: "short recv", run: func(r *rig) {
		a, b := r.pair()
		r.write(b, "abc")
		one, _ := r.recv(a, 2)
		two, _ := r.recv(a, 2)
		r.chain(one, two, r.send(a, "never"))
		r.expect(2, 1, cancelled)
		r.running(b)
	}},

	{name: "nop", run: func(r *rig) {
		a, b := r.pair()
		r.chain(r.nop(), r.send(a, "1"), r.nop(), r.send(a, "2"), r.nop())
		r.expect(0, 1, 0, 1, 0)
		r.arrived(b, "12")
	}},

	{name: "nop behind a failure", run: func(r *rig) {
		a, b := r.pair()
		c, d := r.pair()
		r.close(d)
		r.chain(r.send(c, "x"), r.nop(), r.send(a, "never"))
		r.send(a, "1")
		r.expect(errno(unix.EPIPE), cancelled, cancelled, 1)
		r.arrived(b, "1")
	}},

	{name: "to the end of the table", config: poller.Config{Entries: 256}, run: func(r *rig) {
		a, b := r.pair()
		c, d := r.pair()
		r.close(d)
		es, want := []*poller.Entry{r.send(c, "x")}, []int64{errno(unix.EPIPE)}
		for len(es) < 256 {
			es, want = append(es, r.send(a, "never")), append(want, cancelled)
		}
		r.chain(es...)
		r.expect(want...)
		// What broke at the end of one table means nothing to the next.
		es[255].Flags = poller.Link
		r.send(a, "1")
		r.expect(1)
		r.arrived(b, "1")
	}},

	{name: "link on the last entry", run: func(r *rig) {
		a, b := r.pair()
		c, d := r.pair()
		r.close(d)
		r.send(c, "x").Flags = poller.Link
		r.expect(errno(unix.EPIPE))
		r.send(a, "1")
		r.expect(1)
		r.arrived(b, "1")
	}},
}

// short runs what was recorded: the first entry must move something, but less
// than n, and the others have the results rest.
func (r *rig) short(n int, rest ...int64) {
	r.Helper()
	rets := r.results()
	if rets[0] <= 0 || rets[0] >= int64(n) {
		r.Fatalf("entry 0: result %s of %d, into a socket that holds a few KiB", ret(rets[0]), n)
	}
	for i, want := range rest {
		if rets[i+1] != want {
			r.Errorf("entry %d: result %s, want %s", i+1, ret(rets[i+1]), ret(want))
		}
	}
}
