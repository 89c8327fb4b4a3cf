//go:build linux

package main

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// scheduled asks for / at a rate for half a second.
func scheduled(t *testing.T, rate int, h http.HandlerFunc) result {
	t.Helper()
	addr := handling(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		h(w, r)
		io.WriteString(w, "x")
	})
	l := load{path: "/", body: []byte("x")}
	a, err := checkAnswers(addr, l)
	if err != nil {
		t.Fatal(err)
	}
	got, err := generate(generation{Addr: addr, Conns: 4, Rate: rate, Duration: 500 * time.Millisecond,
		Asks: []ask{{[]byte(l.request(addr)), a.size, l.body}}})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// No more requests come than the rate says, however quick the server is.
func TestRate(t *testing.T) {
	got := scheduled(t, 400, func(http.ResponseWriter, *http.Request) {})
	if most := 1 + int64(400*got.Elapsed.Seconds()); got.Requests == 0 || got.Requests > most || got.Errors+got.Wrong > 0 {
		t.Errorf("at most %d were due: %+v", most, got)
	}
}

// The requests that are due while a server stands still have waited since they
// were due, and not since they could be sent.
func TestRateCountsFromWhenRequestsWereDue(t *testing.T) {
	const pause = 300 * time.Millisecond
	var n atomic.Int32
	got := scheduled(t, 400, func(http.ResponseWriter, *http.Request) {
		if i := n.Add(1); i > answersChecked && i <= answersChecked+4 {
			time.Sleep(pause)
		}
	})
	if got.Max < pause || got.P50 < pause/10 {
		t.Errorf("median %v, most %v, after a pause of %v", got.P50, got.Max, pause)
	}
}

// A connection that fails does not change when the next requests are due.
func TestRateGoesOnAfterFailures(t *testing.T) {
	var n atomic.Int32
	got := scheduled(t, 400, func(http.ResponseWriter, *http.Request) {
		if i := n.Add(1); i > answersChecked && i%5 == 0 {
			panic(http.ErrAbortHandler)
		}
	})
	if most := 1 + int64(400*got.Elapsed.Seconds()); got.Errors == 0 || got.Requests == 0 || got.Requests+got.Errors > most {
		t.Errorf("at most %d were due: %+v", most, got)
	}
}

// A connection has as many requests as it is to have, and then there is another.
func TestRequestsOfAConnection(t *testing.T) {
	const each = 10
	var counts sync.Map // by the client's address
	var requests atomic.Int64
	ended := new(atomic.Bool)
	addr := handling(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		n, _ := counts.LoadOrStore(r.RemoteAddr, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		ended.Store(requests.Add(1) > answersChecked+6*each)
		io.WriteString(w, "x")
	})
	l := load{path: "/", body: []byte("x")}
	a, err := checkAnswers(addr, l)
	if err != nil {
		t.Fatal(err)
	}
	got, err := generate(generation{Addr: addr, Conns: 3, Each: each, Duration: time.Minute, ended: ended,
		Asks: []ask{{[]byte(l.request(addr)), a.size, l.body}}})
	if err != nil || got.Requests <= 3*each || got.Errors+got.Wrong > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	full := 0
	counts.Range(func(of, n any) bool {
		if n := n.(*atomic.Int64).Load(); n == each {
			full++
		} else if n > each {
			t.Errorf("%v has asked %d times", of, n)
		}
		return true
	})
	if full == 0 {
		t.Error("none has asked as often as it was to")
	}
}

// Of several pages each is asked for, and each answer is looked at.
func TestPagesInTurn(t *testing.T) {
	var asked [3]atomic.Int64
	bodies := []string{"first", "the second", "third, and last"}
	var spoilt, requests atomic.Int64
	ended := new(atomic.Bool)
	addr := handling(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		i := int(r.URL.Path[1] - '0')
		body := bodies[i]
		ended.Store(requests.Add(1) > 60)
		if asked[i].Add(1) > answersChecked && i == int(spoilt.Load()) {
			body = strings.ToUpper(body)
		}
		io.WriteString(w, body)
	})
	l := load{path: "/0", body: []byte(bodies[0]), conns: 2, rest: []page{{"/1", []byte(bodies[1])}, {"/2", []byte(bodies[2])}}}
	srv := &running{server: &server{name: "a"}, addr: addr}
	spoilt.Store(-1)
	var reference *answers
	if err := srv.check(&comparison{loads: []load{l}}, &reference); err != nil {
		t.Fatal(err)
	}
	g := generation{Addr: addr, Conns: 2, Duration: time.Minute, ended: ended}
	for i, p := range l.pages() {
		g.Asks = append(g.Asks, ask{[]byte(l.only(p).request(addr)), srv.right[0][i].size, p.body})
	}
	for _, tc := range []struct {
		spoilt int64
		wrong  bool
	}{{-1, false}, {2, true}} {
		spoilt.Store(tc.spoilt)
		requests.Store(0)
		ended.Store(false)
		got, err := generate(g)
		if err != nil || got.Requests == 0 || (got.Wrong > 0) != tc.wrong {
			t.Errorf("page %d spoilt: %+v, %v", tc.spoilt, got, err)
		}
		if err := got.check(srv.right[0], l); (err != nil) != tc.wrong {
			t.Errorf("page %d spoilt: %v", tc.spoilt, err)
		}
	}
	least, most := min(asked[0].Load(), asked[1].Load(), asked[2].Load()), max(asked[0].Load(), asked[1].Load(), asked[2].Load())
	if least == 0 || most > 2*least+20 {
		t.Errorf("asked for %d to %d times", least, most)
	}
	if s := l.String(); !strings.Contains(s, "3 files of 30 B") {
		t.Error(s)
	}
}
