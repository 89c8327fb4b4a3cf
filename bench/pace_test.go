//go:build linux

package main

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// paced asks for / on a few connections, each every 5 ms, for half a second.
func paced(t *testing.T, h http.HandlerFunc) result {
	t.Helper()
	h2 := func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		h(w, r)
		io.WriteString(w, "x")
	}
	addr := handling(t, h2)
	l := load{path: "/", body: []byte("x")}
	a, err := checkAnswers(addr, l)
	if err != nil {
		t.Fatal(err)
	}
	g := generation{Addr: addr, Conns: 4, Pace: 5 * time.Millisecond, Duration: 500 * time.Millisecond,
		Asks: []ask{{[]byte(l.request(addr)), a.size, l.body}}}
	got, err := generate(g)
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(g.Conns) * (1 + int64(got.Elapsed/g.Pace)); got.Requests > most || got.Errors+got.Wrong > 0 {
		t.Errorf("%d requests in %v, at most %d were due: %+v", got.Requests, got.Elapsed, most, got)
	}
	return got
}

func TestPace(t *testing.T) {
	if got := paced(t, func(http.ResponseWriter, *http.Request) {}); got.Requests < 8 || got.P50 <= 0 {
		t.Errorf("%+v", got)
	}
}

// A server that stands still for some time is slow for all that were due
// meanwhile, not for one request of each connection.
func TestPaceCountsWhoComesMeanwhile(t *testing.T) {
	const pause = 300 * time.Millisecond
	var n atomic.Int32
	got := paced(t, func(http.ResponseWriter, *http.Request) {
		if i := n.Add(1); i > answersChecked && i <= answersChecked+4 {
			time.Sleep(pause)
		}
	})
	if got.Max < pause || got.P90 < pause/2 {
		t.Errorf("90th percentile %v, most %v, after a pause of %v", got.P90, got.Max, pause)
	}
}

// What is not answered at all has waited, too.
func TestPaceCountsWhoWaitsAtTheEnd(t *testing.T) {
	var n atomic.Int32
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	got := paced(t, func(http.ResponseWriter, *http.Request) {
		if n.Add(1) > answersChecked {
			<-ended
		}
	})
	if got.Requests > 0 || got.Max < 400*time.Millisecond || got.P50 < 100*time.Millisecond || got.P50 >= got.Max {
		t.Errorf("%+v", got)
	}
}
