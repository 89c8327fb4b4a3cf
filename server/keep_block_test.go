//go:build linux && (amd64 || arm64)

package server_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/server"
)

// keepBlocker is a handler that, on /block, tells of its start and waits to be
// let go.
type keepBlocker struct{ entered, leave chan bool }

func newKeepBlocker() keepBlocker {
	return keepBlocker{make(chan bool, 256), make(chan bool)}
}

func (b keepBlocker) handle(ctx *fasthttp.RequestCtx) {
	if string(ctx.Path()) == "/block" {
		b.entered <- true
		<-b.leave
	}
	fmt.Fprintf(ctx, "%s %s", ctx.Path(), ctx.QueryArgs().QueryString())
}

// keepStats polls the figures of esca, of which no event tells, until cond; on
// fasthttp's own server there are none.
func keepStats(t *testing.T, r *running, what string, cond func(server.Stats) bool) {
	t.Helper()
	s, ok := r.served.(*server.Server)
	if !ok {
		return
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(generous); !cond(s.Stats()); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s; %+v", what, s.Stats())
		}
	}
}

func TestKeepBlockedHandlers(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		const n = 64
		b := newKeepBlocker()
		r := st.start(t, &fasthttp.Server{Handler: b.handle})
		other := r.dial(t)
		blocked := make([]*client, n)
		for i := range blocked {
			blocked[i] = r.dial(t)
			blocked[i].send("GET /block?%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
		}
		for range n {
			wait(t, b.entered, "a handler that blocks")
		}
		for range 10 {
			expect(t, "answer meanwhile", other.get("/other"), "/other ")
		}
		expect(t, "answer to a new connection meanwhile", r.dial(t).get("/new"), "/new ")
		keepStats(t, r, "busy workers", func(s server.Stats) bool { return s.Workers-s.IdleWorkers >= n && s.Open == n+2 })
		close(b.leave)
		for i, c := range blocked {
			status, body := c.response()
			expect(t, "status", status, 200)
			expect(t, "answer in the end", body, fmt.Sprintf("/block %d", i))
		}
		keepStats(t, r, "workers come back", func(s server.Stats) bool {
			return s.Workers == s.IdleWorkers && s.Open == n+2 && s.Idle == n+2
		})
		for i, c := range blocked {
			expect(t, "answer afterwards", c.get(fmt.Sprintf("/again?%d", i)), fmt.Sprintf("/again %d", i))
			c.Close()
		}
		keepStats(t, r, "connections are gone", func(s server.Stats) bool { return s.Open == 2 && s.Accepted == n+2 })
	})
}

func TestKeepPipelinedBehindBlocked(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		b := newKeepBlocker()
		r := st.start(t, &fasthttp.Server{Handler: b.handle})
		c, other := r.dial(t), r.dial(t)
		paths := []string{"/1", "/block", "/3", "/block", "/5"}
		for _, p := range paths[:3] {
			c.send("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", p)
		}
		wait(t, b.entered, "a handler that blocks")
		for _, p := range paths[3:] { // behind it, in a packet of its own
			c.send("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", p)
		}
		expect(t, "answer meanwhile", other.get("/other"), "/other ")
		b.leave <- true
		wait(t, b.entered, "the second that blocks")
		expect(t, "answer meanwhile", other.get("/other"), "/other ")
		b.leave <- true
		for _, p := range paths {
			_, body := c.response()
			expect(t, "answer in its turn", body, p+" ")
		}
	})
}

// A handler that leaves its goroutine locked to its thread does not hurt those
// that come after it.
func TestKeepLockedThread(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		b := newKeepBlocker()
		r := st.start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/lock" || ctx.QueryArgs().Has("lock") {
				runtime.LockOSThread()
			}
			b.handle(ctx)
		}})
		c, other, blocked := r.dial(t), r.dial(t), r.dial(t)
		for range 5 {
			expect(t, "answer of one that locks", c.get("/lock"), "/lock ")
			expect(t, "answer on the same connection", c.get("/same"), "/same ")
			expect(t, "answer on another", other.get("/other"), "/other ")
		}
		blocked.send("GET /block?lock HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n")
		wait(t, b.entered, "one that locks and blocks")
		expect(t, "answer while one locks and blocks", other.get("/other"), "/other ")
		b.leave <- true
		_, body := blocked.response()
		expect(t, "answer of one that locks and blocks", body, "/block lock")
		_, body = blocked.response()
		expect(t, "answer behind it", body, "/next ")
		keepStats(t, r, "workers come back", func(s server.Stats) bool { return s.Workers == s.IdleWorkers })
	})
}

// runtime.Goexit in a handler ends that goroutine; the server goes on, and can
// be shut down (which the end of the test does).
func TestKeepGoexit(t *testing.T) {
	onEach(t, func(t *testing.T, st stack) {
		gone := make(chan bool, 1)
		r := st.start(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/exit" {
				defer func() { gone <- true }()
				runtime.Goexit()
			}
			ctx.Write(ctx.Path())
		}})
		other := r.dial(t)
		expect(t, "answer before", other.get("/before"), "/before")
		for range 5 {
			r.dial(t).send("GET /exit HTTP/1.1\r\nHost: x\r\n\r\n")
			wait(t, gone, "the handler to exit")
			expect(t, "answer of another", other.get("/after"), "/after")
			expect(t, "answer of a new one", r.dial(t).get("/new"), "/new")
		}
		keepStats(t, r, "workers come back", func(s server.Stats) bool { return s.Workers == s.IdleWorkers })
	})
}

func TestKeepStats(t *testing.T) {
	for _, st := range escas() {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			b := newKeepBlocker()
			fs := &fasthttp.Server{Handler: b.handle, MaxConnsPerIP: 4}
			r := st.start(t, fs)
			var conns []*client
			for range 3 {
				c := r.dial(t)
				c.get("/")
				conns = append(conns, c)
			}
			keepStats(t, r, "three idle", func(s server.Stats) bool { return s.Open == 3 && s.Idle == 3 && s.Accepted == 3 })
			conns[0].send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
			wait(t, b.entered, "the handler")
			keepStats(t, r, "one of three busy", func(s server.Stats) bool { return s.Open == 3 && s.Idle == 2 })
			b.leave <- true
			conns[0].response()
			r.dial(t).get("/")
			r.dial(t).rest() // one too many
			keepStats(t, r, "one rejected", func(s server.Stats) bool { return s.Rejected == 1 && s.Accepted == 5 && s.Open == 4 })
			s := r.served.(*server.Server).Stats()
			// Five requests of at least 27 bytes, five answers and a rejection of
			// at least 100.
			if s.BytesIn < 5*27 || s.BytesIn > 1000 || s.BytesOut < 6*100 || s.BytesOut > 2000 || s.Bursts < 5 || s.Loops < 1 || s.Backend == "" {
				t.Errorf("implausible: %+v", s)
			}
			r.stop(t)
			expect(t, "open after the shutdown", r.served.(*server.Server).Stats().Open, 0)
		})
	}
}
