//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// closeLoadArg, as the first argument, turns bench into the load generator for
// a connection per request: a process of its own, so that it can be placed as
// wrk is. (wrk reconnects too, but takes a connection that was closed early for
// a good one.)
const closeLoadArg = "close-load"

// closeTimeout is when a connection counts as an error, as in wrk.
const closeTimeout = 2 * time.Second

func closeLoadCommand(p placement, l load, addr string, d time.Duration) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	argv := []string{self, closeLoadArg, addr, l.path, strconv.Itoa(l.conns), d.String()}
	if p == pinned {
		argv = onCPU(loadCPU, argv)
	}
	return argv, nil
}

// closeLoadMain is bench as a load generator; it prints a result as JSON.
func closeLoadMain(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: %s ADDRESS PATH CONNECTIONS DURATION", closeLoadArg)
	}
	conns, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(closeLoad(args[0], load{path: args[1], conns: conns, close: true}, d))
}

// closeLoad keeps conns connections busy for d, each with one request.
func closeLoad(addr string, l load, d time.Duration) result {
	var (
		mu      sync.Mutex
		sum     result
		latency []time.Duration
		wg      sync.WaitGroup
	)
	start := time.Now()
	for i := range l.conns {
		wg.Go(func() {
			part, times := closeLoop(addr, l, start.Add(d), i)
			mu.Lock()
			defer mu.Unlock()
			sum.Requests += part.Requests
			sum.Bytes += part.Bytes
			sum.Errors += part.Errors
			latency = append(latency, times...)
		})
	}
	wg.Wait()
	sum.Elapsed = time.Since(start)
	if slices.Sort(latency); len(latency) > 0 {
		sum.P50 = latency[len(latency)/2]
		sum.P99 = latency[len(latency)*99/100]
	}
	return sum
}

func closeLoop(addr string, l load, end time.Time, index int) (r result, latency []time.Duration) {
	// Source addresses of 127.0.0.0/8 multiply the ports there are: the
	// last 60 s of connections all hold theirs.
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+index%50))}, Timeout: closeTimeout}
	request := []byte(l.request(addr))
	buf := make([]byte, 64<<10)
	for {
		start := time.Now()
		if start.After(end) {
			return r, latency
		}
		n, err := askOnce(&from, addr, request, buf)
		if err != nil {
			r.Errors++
			continue
		}
		r.Requests++
		r.Bytes += n
		latency = append(latency, time.Since(start))
	}
}

// askOnce sends the request over a connection of its own, and reads to its end.
func askOnce(from *net.Dialer, addr string, request, buf []byte) (n int64, err error) {
	c, err := from.Dial("tcp4", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(closeTimeout))
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	for {
		got, err := c.Read(buf)
		if n == 0 && !bytes.HasPrefix(buf[:got], []byte("HTTP/1.1 2")) {
			return 0, fmt.Errorf("the answer begins with %q", buf[:min(got, 20)])
		}
		n += int64(got)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
