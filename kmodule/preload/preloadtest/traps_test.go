//go:build linux && amd64

package preloadtest

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each test here is named for something that a prototype got wrong, or this library
// did once. testdata/traps.c is the server.

var both = []string{"", "et"}

// Lighttpd: a close that lingers, and the set still reports what the program has freed.
func TestTrapDELBeforeLingeringClose(t *testing.T) {
	inEach(t, modes(t), []string{"small", "et small"}, func(t *testing.T, p *process, addr string) {
		for range 2 {
			var ks []*talker
			for range 40 {
				k := talk(t, addr, 2048)
				k.say("bytes 14 4000", "close", "what it does not read")
				ks = append(ks, k)
			}
			for _, k := range ks {
				io.WriteString(k, "more\n") // an event, if it is in the set
			}
			for _, k := range ks {
				if err := k.hear(false); err != nil && !strings.Contains(err.Error(), "reset") {
					t.Error(err)
				}
				k.Close()
			}
		}
	})
}

// Nginx: the program has been told EAGAIN, and no edge comes since the kernel had room.
func TestTrapEdgeAfterEAGAIN(t *testing.T) {
	inEach(t, modes(t), []string{"et", "et small", ""}, func(t *testing.T, p *process, addr string) {
		all(t, addr, 16, 0, false, "bytes 300 1000", "bytes 20 20000")
	})
}

// Nginx, pipelined: a file that is sent directly, before what the kernel did not take of its header.
func TestTrapSendfileBehindBacklog(t *testing.T) {
	inEach(t, modes(t), []string{"", "et", "small"}, func(t *testing.T, p *process, addr string) {
		all(t, addr, 8, 0, false, "file 300 20000", "file 10 100", "file 300 8192", "file 300 8193", "bytes 1 30000", "file 4000 70000",
			"cork 300 20000", "corkon", "cork 200 70000", "cork 300 100", "file 200 20000", "bytes 2 100", "corkoff", "cork 9000 20000")
	})
}

// Nginx's aio threads: a thread sends a file while the loop has the header in its table.
func TestTrapPoolThreadSendsFile(t *testing.T) {
	inEach(t, modes(t), both, func(t *testing.T, p *process, addr string) {
		var wg sync.WaitGroup
		for range 16 {
			k := talk(t, addr, 0)
			wg.Go(func() {
				for range 40 {
					// What finds no room is not lent, and then only the header comes.
					k.say("pool 200 20000")
					k.want.Reset()
					k.pos -= 200
					k.bytes(200)
					if err := k.hear(false); err != nil {
						t.Error(err)
						return
					}
					k.SetReadDeadline(time.Now().Add(60 * time.Second))
					k.say("bytes 1 1")
					k.want.Reset()
					k.pos--
					first, err := k.r.Peek(1)
					if err != nil {
						t.Error(err)
						return
					}
					if first[0] != byte(k.pos%251) {
						k.file(20000)
					}
					k.bytes(1)
					if err := k.hear(false); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// A signal between the program's look at its flag and its sleep, which a flush makes long.
func TestTrapSignalBeforeSleep(t *testing.T) {
	inEach(t, executors(t), []string{""}, func(t *testing.T, p *process, addr string) {
		for range 150 {
			k := talk(t, addr, 0)
			k.say("bytes 1 1")
			if err := k.hear(false); err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, k)
		}
		k := talk(t, addr, 0)
		k.say("lost 200")
		said, err := k.r.ReadString('\n')
		// Without the library too it may come right before the sleep.
		var n, of int
		if _, e := fmt.Sscanf(said, "lost %d of %d\n", &n, &of); err != nil || e != nil || n > 5 {
			t.Errorf("%q, %v", said, err)
		}
	})
}

// Redis: a signal handler that writes, while the table is locked; and a ring whose enter
// hides that it was interrupted.
func TestTrapHandlerWrites(t *testing.T) {
	inEach(t, modes(t), both, func(t *testing.T, p *process, addr string) {
		k := talk(t, addr, 0)
		k.say("alarm 300")
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ; i++ {
				if i%2 == 1 {
					io.WriteString(k, "tick\n")
				}
				line, err := k.r.ReadString('\n')
				if err != nil {
					return
				}
				if line != fmt.Sprintf("%08d\n", i) {
					t.Errorf("the %dth is %q", i, line)
					return
				}
			}
		})
		for range 5 {
			all(t, addr, 32, 0, true, "bytes 20 500", "file 100 20000", "bytes 5 4096", "close")
		}
		k.Close()
		wg.Wait()
	})
}

// A ring runs what is linked after the whole submission, goes on behind a short send unless told
// otherwise, and hands shutdown to a thread: the end must come behind all that was sent.
func TestTrapShortSendBeforeTheEnd(t *testing.T) {
	inEach(t, modes(t), []string{"small", "et small"}, func(t *testing.T, p *process, addr string) {
		all(t, addr, 24, 2048, true, "bytes 14 4000", "close")
		all(t, addr, 24, 2048, true, "bytes 14 4000", "shut")
		all(t, addr, 24, 0, true, "bytes 2 100", "shut")
	})
}

// A cork that was left out, and nobody said MSG_MORE: two segments, and with Nagle 40 ms between them.
func TestTrapCorkWithoutMore(t *testing.T) {
	segments := func(t *testing.T, m mode) uint32 {
		p, addr := traps(t, m)
		defer p.alive()
		var n uint32
		count := func(k *talker) {
			if err := k.hear(false); err != nil {
				t.Fatal(err)
			}
			raw, _ := k.Conn.(*net.TCPConn).SyscallConn()
			raw.Control(func(fd uintptr) {
				info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
				if err != nil {
					t.Error(err)
					return
				}
				n += info.Data_segs_in
			})
		}
		for _, c := range [][]string{{"cork 300 1000"}, {"cork 300 20000"}, {"cork 6000 20000"}, {"cork 300 8192"},
			{"corkon", "file 300 20000", "corkoff"}} {
			k := talk(t, addr, 0)
			k.say(c...)
			count(k)
		}
		k := talk(t, addr, 0)
		k.say("corkon", "bytes 1 300")
		all(t, addr, 1, 0, true, "bytes 1 1", "close") // the loop comes round meanwhile
		k.say("bytes 1 1000", "corkoff")
		count(k)
		return n
	}
	want := segments(t, mode{executor: "off"})
	for _, m := range executors(t) {
		if got := segments(t, m); got > want {
			t.Errorf("%v: %d segments, without the library %d", m, got, want)
		}
	}
}

// Redis writes over its environment, and traps does too: what it asks for has been read by then.
func TestTrapEnvironmentOverwritten(t *testing.T) {
	for _, m := range executors(t) {
		p, addr := traps(t, m)
		all(t, addr, 1, 0, true, "bytes 1 1", "close")
		p.alive()
		if out := p.out.String(); !strings.Contains(out, "esca: "+m.executor+", process") {
			t.Errorf("no statistics of %v: %s", m, out)
		}
	}
}

// What is recorded leaves before a call that another would see it by: children of vfork,
// a stream of stdio, the fortified variants, SCM_RIGHTS, kernel TLS and so on.
func TestTrapOvertaken(t *testing.T) {
	by := strings.Fields(`dup dupfd fdopen dprintf sendmmsg splice syscall fork-exec vfork-exec rights rights-mmsg
		siocoutq nodelay ulp soerror cork blocking poll select nanosleep condition semaphore fork vfork spawn system number close_range exec`)
	for _, m := range executors(t) {
		t.Run(m.String(), func(t *testing.T) {
			p, addr := traps(t, m)
			talk(t, addr, 0).say("helper")
			for _, how := range by {
				k := talk(t, addr, 0)
				k.say("settle " + how)
				var got string
				for range 2 {
					line, err := k.r.ReadString('\n')
					if got += line; err != nil {
						t.Fatalf("%s: %q, %v", how, got, err)
					}
					io.WriteString(k, "\n")
				}
				if got != "A\nB\n" {
					t.Errorf("%s: %q", how, got)
				}
				k.Close()
			}
			p.alive()
		})
	}
}

// A child forgets its parent's backlogs, and took them out of the watch that the two share.
func TestTrapForkWithBacklog(t *testing.T) {
	inEach(t, modes(t), both, func(t *testing.T, p *process, addr string) {
		k := talk(t, addr, 0)
		k.say("forks")
		for range 15 { // sockets that were there at a fork are recorded no more
			all(t, addr, 4, 0, false, "bytes 34 4000")
		}
	})
}

// The number of a closed connection that has failed was closed twice, and the second time it was
// perhaps another thread's.
func TestTrapNumberClosedOnce(t *testing.T) {
	inEach(t, modes(t), both, func(t *testing.T, p *process, addr string) {
		k := talk(t, addr, 0)
		k.say("opener")
		for range 10 {
			var ks []*talker
			for range 30 {
				ks = append(ks, talk(t, addr, 0))
			}
			for _, k := range ks { // by now it is being sent to, and has gone
				k.say("bytes 1 2000", "close")
				k.Conn.(*net.TCPConn).SetLinger(0)
				k.Close()
			}
		}
		all(t, addr, 8, 0, true, "bytes 5 100", "close")
	})
}

// A thread sends while the loop changes the registration of the same socket: what the loop has
// recorded of it by then is under the loop's lock, which the thread did not take.
func TestTrapThreadBesideRecord(t *testing.T) {
	inEach(t, executors(t), []string{""}, func(t *testing.T, p *process, addr string) {
		var wg sync.WaitGroup
		for range 4 {
			k := talk(t, addr, 0)
			const n = 20000
			io.WriteString(k, fmt.Sprintf("chat %d\n", n))
			done := make(chan struct{})
			wg.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						io.WriteString(k, "change\n")
					}
				}
			})
			wg.Go(func() {
				defer close(done)
				if got, err := io.ReadAll(io.LimitReader(k.r, n)); err != nil || strings.Trim(string(got), "x") != "" {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
		wg.Wait()
	})
}

// An option that is set behind a shutdown is no write: SIGPIPE ended the program.
func TestTrapOptionAfterShutdown(t *testing.T) {
	inEach(t, modes(t), both, func(t *testing.T, p *process, addr string) {
		k := talk(t, addr, 0)
		k.say("bytes 2 100", "settle options")
		if err := k.hear(true); err != nil {
			t.Error(err)
		}
	})
}

// Numbers that are closed in the table, or linger, are given back before a program hears of EMFILE.
func TestTrapOutOfNumbers(t *testing.T) {
	inEach(t, modes(t), []string{"small"}, func(t *testing.T, p *process, addr string) {
		lim := unix.Rlimit{Cur: 60, Max: 60}
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &lim, nil); err != nil {
			t.Fatal(err)
		}
		for range 150 { // none of them reads
			talk(t, addr, 2048).say("bytes 14 4000", "close")
		}
		all(t, addr, 1, 0, true, "bytes 1 10", "close")
	})
}

// Redis, lighttpd: where each turn has one send, and executors only join them, copying it costs and
// gains nothing. What is sent twice in a turn is recorded again.
func TestTrapNothingToJoin(t *testing.T) {
	if required("kmod") {
		t.Skip("the module saves crossings, and so records them all")
	}
	for _, kind := range both {
		t.Run(kind, func(t *testing.T) {
			p, addr := traps(t, mode{executor: "plain"}, strings.Fields(kind)...)
			k := talk(t, addr, 0)
			ask := func(times int, what string) {
				for range times {
					k.say(what)
					if err := k.hear(false); err != nil {
						t.Fatal(err)
					}
				}
			}
			ask(50, "bytes 1 100")
			ask(20, "bytes 3 100")
			ask(50, "file 300 100")
			ask(50, "file 300 70000")
			ask(50, "bytes 1 100")
			p.alive()
			_, said, _ := strings.Cut(p.out.String(), "recorded ")
			var calls, bytes, joined int
			fmt.Sscanf(said, "%d calls, %d bytes, %d coalesced", &calls, &bytes, &joined)
			// Of the first 50 and of headers of large files the ninth is surely passed, and of what follows it all
			// but the first is joined; what is passed may bring the next request, and so a second send, in its turn.
			if calls >= 50+60+100+50+50-1 || joined < 1+19*2+49 {
				t.Errorf("recorded %d calls, %d joined: %s", calls, joined, p.out)
			}
		})
	}
}
