//go:build linux

package main

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/bench/internal/latency"
)

// mostClients is how many clients in its own process a server can be asked for.
const mostClients = 10_000

// clients are those of net/http in the server's own process, which keep it busy
// from /clients/start?n=N to /clients/stop.
type clients struct {
	mu  sync.Mutex
	now *crowd // nil: none
}

// crowd is clients that run.
type crowd struct {
	began time.Time
	http  *http.Client
	url   string
	told  atomic.Bool // to end
	all   sync.WaitGroup

	mu    sync.Mutex
	count count
	times []time.Duration
}

// count is what clients counted, as a load generator of bench prints it.
type count struct {
	Requests int64         `json:"requests"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	Errors   int64         `json:"errors"`
	Wrong    int64         `json:"wrong"`
	latency.Percentiles
}

func (c *clients) start(ctx *fasthttp.RequestCtx) {
	n, err := ctx.QueryArgs().GetUint("n")
	if err != nil || n < 1 || n > mostClients {
		ctx.Error("how many clients? /clients/start?n=16", fasthttp.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil {
		ctx.Error("clients run already: /clients/stop ends them", fasthttp.StatusConflict)
		return
	}
	c.now = &crowd{began: time.Now(), url: "http://" + ctx.LocalAddr().String() + "/",
		http: &http.Client{Transport: &http.Transport{MaxIdleConns: n, MaxIdleConnsPerHost: n}}}
	for range n {
		c.now.all.Go(c.now.drive)
	}
	ctx.SetBodyString(helloBody)
}

// stop answers with what the clients counted, once their last requests are
// answered: by the server in whose handler this is.
func (c *clients) stop(ctx *fasthttp.RequestCtx) {
	c.mu.Lock()
	now := c.now
	c.now = nil
	c.mu.Unlock()
	if now == nil {
		ctx.Error("no clients run: /clients/start?n=16 starts them", fasthttp.StatusConflict)
		return
	}
	now.told.Store(true)
	now.all.Wait()
	now.http.CloseIdleConnections()
	now.count.Elapsed = time.Since(now.began)
	now.count.Percentiles = latency.Of(now.times)
	answerJSON(ctx, now.count)
}

// drive is one client, with one request at a time.
func (c *crowd) drive() {
	var own count
	var times []time.Duration
	for !c.told.Load() {
		began := time.Now()
		body, status, err := c.get()
		switch {
		case err != nil:
			own.Errors++
		case status != http.StatusOK || body != helloBody:
			own.Wrong++
		default:
			own.Requests++
			times = append(times, time.Since(began))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.Requests += own.Requests
	c.count.Errors += own.Errors
	c.count.Wrong += own.Wrong
	c.times = append(c.times, times...)
}

func (c *crowd) get() (body string, status int, err error) {
	resp, err := c.http.Get(c.url)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), resp.StatusCode, err
}
