//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/escahttp/esca/bench/internal/latency"
)

// h2Run is what h2load does in the place of bench: requests over HTTP/2 and TLS. It
// counts in whole runs only, as it prints nothing when it is told to end.
type h2Run struct {
	Path    string `json:"path"` // of the program
	URL     string `json:"url"`
	Streams int    `json:"streams"` // of each connection at once
	Threads int    `json:"threads"`
}

// h2load runs it, and tells what it counted, as the other generators do.
func h2load(g generation) (result, error) {
	dir, err := os.MkdirTemp("", "esca-h2load-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	log := filepath.Join(dir, "times")
	seconds := max(1, int(g.Duration.Round(time.Second)/time.Second))
	cmd := exec.Command(g.H2.Path, "-D", fmt.Sprint(seconds), "-c", fmt.Sprint(g.Conns), "-m", fmt.Sprint(g.H2.Streams),
		"-t", fmt.Sprint(min(g.H2.Threads, g.Conns)), "--log-file="+log, g.H2.URL)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, lastLine(string(failed.Stderr)))
		}
		return result{}, fmt.Errorf("h2load: %w", err)
	}
	res, err := parseH2load(string(out))
	if err != nil {
		return result{}, err
	}
	times, err := os.ReadFile(log)
	if err != nil {
		return result{}, err
	}
	res.Percentiles = latency.Of(h2Times(string(times)))
	return res, nil
}

// parseH2load reads its summary. The bytes are those of bodies: what is on the wire
// depends on how headers are compressed.
func parseH2load(out string) (r result, err error) {
	if !strings.Contains(out, "Application protocol: h2\n") {
		return r, fmt.Errorf("h2load did not get HTTP/2: %s", lastLine(out))
	}
	const lines = 4
	found := 0
	scan := func(line, format string, args ...any) {
		if n, _ := fmt.Sscanf(line, format, args...); n == len(args) {
			found++
		}
	}
	var rate float64
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		var total, started, done, failed, errored, timeout, ok, moved, refused, broken int64
		var ignored string
		switch {
		case strings.HasPrefix(line, "finished in "):
			scan(line, "finished in %s %f req/s,", &ignored, &rate)
		case strings.HasPrefix(line, "requests: "):
			scan(line, "requests: %d total, %d started, %d done, %d succeeded, %d failed, %d errored, %d timeout",
				&total, &started, &done, &r.Requests, &failed, &errored, &timeout)
		case strings.HasPrefix(line, "status codes: "):
			scan(line, "status codes: %d 2xx, %d 3xx, %d 4xx, %d 5xx", &ok, &moved, &refused, &broken)
			r.Wrong = moved + refused + broken
		case strings.HasPrefix(line, "traffic: "):
			scan(line[strings.LastIndex(line, ", ")+1:], "%s (%d) data", &ignored, &r.Bytes)
		}
		r.Errors += failed
	}
	if found != lines {
		return r, fmt.Errorf("no summary in h2load's output %q", out)
	}
	if rate > 0 {
		r.Elapsed = time.Duration(float64(r.Requests) / rate * float64(time.Second))
	}
	return r, nil
}

// h2Times reads h2load's log: a line for each request, with when it began, the
// status, and how long it took in microseconds.
func h2Times(log string) (times []time.Duration) {
	for line := range strings.Lines(log) {
		var began, status, took int64
		if n, _ := fmt.Sscan(line, &began, &status, &took); n == 3 && status == http.StatusOK {
			times = append(times, time.Duration(took)*time.Microsecond)
		}
	}
	return times
}

// checkH2 asks addr for what the load asks for over one connection of HTTP/2.
func checkH2(addr string, l load) (first answer, err error) {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	transport := &http.Transport{TLSClientConfig: clientTLS(), Protocols: protocols, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(addr, answerTimeout) }}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: answerTimeout}
	for i := range answersChecked {
		resp, err := client.Get("https://" + addr + l.path)
		if err != nil {
			return answer{}, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return answer{}, fmt.Errorf("GET %s: %w", l.path, err)
		}
		if resp.ProtoMajor != 2 {
			return answer{}, fmt.Errorf("GET %s is answered by %s", l.path, resp.Proto)
		}
		a := answer{status: resp.StatusCode, header: resp.Header, body: body, size: int64(len(body))}
		if err := a.check(l.body); err != nil {
			return answer{}, fmt.Errorf("GET %s: %w", l.path, err)
		}
		if i == 0 {
			first = a
		} else if err := sameAnswer(first, a, nil); err != nil {
			return answer{}, fmt.Errorf("GET %s: a second answer: %w", l.path, err)
		}
	}
	return first, nil
}

// http2 is what browsers do: some requests at once over each of some connections,
// with TLS.
func (b *suiteBuilder) http2() {
	of := func(path string, body []byte) []load {
		return []load{{path: path, conns: 50, streams: 10, body: body, may: []string{"Vary", "Etag"}}}
	}
	b.add(comparison{name: "h2/hello/c50", sides: b.both(esca, nethttp, nginx, caddy), placement: free, brief: true, steady: true, loads: of("/", helloBody)})
	const kib = 20
	b.add(comparison{name: fmt.Sprintf("h2/file%dk/c50", kib), sides: b.both(escahttp, nethttp, nginx, h2o, caddy), placement: free, brief: true, steady: true,
		loads: of("/"+fileName(kib), b.files[kib])})
}
