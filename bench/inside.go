//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/escahttp/esca/bench/internal/latency"
)

// toldWithin is how soon a load generator notices that it is to end.
const toldWithin = 10 * time.Millisecond

// fetch gets what a server tells of itself, on a connection of its own.
func fetch(addr, path string) ([]byte, error) {
	client := &http.Client{Timeout: answerTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, resp.Status, strings.TrimSpace(string(body)))
	}
	return body, err
}

// inside has the server drive itself with g.Conns clients.
func inside(g generation) (res result, err error) {
	began := time.Now()
	if _, err := fetch(g.Addr, fmt.Sprintf("/clients/start?n=%d", g.Conns)); err != nil {
		return res, err
	}
	for g.goesOn(time.Since(began)) {
		time.Sleep(min(toldWithin, g.Duration))
	}
	text, err := fetch(g.Addr, "/clients/stop")
	if err != nil {
		return res, err
	}
	if err := json.Unmarshal(text, &res); err != nil {
		return res, fmt.Errorf("what the clients counted: %w", err)
	}
	res.Bytes = res.Requests * g.Asks[0].Size // they look at the bodies, not at the wire
	return res, nil
}

// takeLateness asks how late goroutines were since it was last asked.
func (srv *running) takeLateness() (p latency.Percentiles, err error) {
	text, err := fetch(srv.addr, "/late/taken")
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		err = fmt.Errorf("how late goroutines were: %w", err)
	}
	return p, err
}
