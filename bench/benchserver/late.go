//go:build linux

package main

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/escahttp/esca/bench/internal/latency"
)

// lateness is how long after their go statements goroutines ran.
type lateness struct {
	mu    sync.Mutex
	times []time.Duration
}

// spawn starts a goroutine, and does not wait for it.
func (l *lateness) spawn() {
	started := time.Now()
	go func() {
		late := time.Since(started)
		l.mu.Lock()
		l.times = append(l.times, late)
		l.mu.Unlock()
	}()
}

// take answers with the percentiles of what there was since it was last asked.
func (l *lateness) take(ctx *fasthttp.RequestCtx) {
	l.mu.Lock()
	times := l.times
	l.times = nil
	l.mu.Unlock()
	answerJSON(ctx, latency.Of(times))
}

func answerJSON(ctx *fasthttp.RequestCtx, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	ctx.SetBody(text)
}
