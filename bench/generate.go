//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/bench/internal/latency"
)

// generateArg, as the first argument, turns bench into a load generator for
// unix sockets, which wrk does not know, for a connection per request, of which
// wrk takes one that was closed early for a good one, and for requests that are
// due whether or not the one before is answered. It is a process of
// its own, so that it can be placed as wrk is, and one thread that waits by
// epoll. It compares every answer with the right one.
const generateArg = "generate"

// generatorName is what the generator's process is called once it obeys a SIGINT.
const generatorName = "esca-generate"

// begun reports whether a load generator obeys a SIGINT yet. Go's runtime catches
// all signals from the beginning, whatever becomes of them: bench's own has a
// name for it.
func (p *process) begun() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		return false
	}
	if slices.Contains(p.cmd.Args, generateArg) {
		return bytes.HasPrefix(text, []byte("Name:\t"+generatorName+"\n"))
	}
	_, caught, _ := bytes.Cut(text, []byte("\nSigCgt:\t"))
	caught, _, _ = bytes.Cut(caught, []byte("\n"))
	set, err := strconv.ParseUint(string(caught), 16, 64)
	return err == nil && set&(1<<(syscall.SIGINT-1)) != 0
}

// stalled is how long connections may bring nothing until they count as errors:
// longer than a generator stands still while it is the other sides' turn.
const stalled = 5 * time.Second

// generation is what is to be generated; it comes as JSON on standard input.
type generation struct {
	Addr     string        `json:"addr"` // HOST:PORT or unix:PATH
	Asks     []ask         `json:"asks"` // by each connection in turn
	Conns    int           `json:"conns"`
	Each     int           `json:"each"`    // requests of a connection, which is closed then; 0: no limit
	TLS      bool          `json:"tls"`     // only with Close
	Resume   bool          `json:"resume"`  // every connection an earlier one
	Rate     int           `json:"rate"`    // requests a second on all connections together; instead of Pace
	Close    bool          `json:"close"`   // a connection per request
	Pace     time.Duration `json:"pace_ns"` // between the requests of a connection
	Duration time.Duration `json:"duration_ns"`

	Echo     int `json:"echo"`     // instead: bytes of messages that come back
	Pipeline int `json:"pipeline"` // of them under way at once

	Inside bool `json:"inside"` // instead: have the server do it with as many clients of its own

	H2 *h2Run `json:"h2,omitempty"` // instead: have h2load do it

	ended *atomic.Bool // set when it is told to end before its time
}

// ask is a request, and what answers it.
type ask struct {
	Request []byte `json:"request"`
	Size    int64  `json:"size"` // of the answer on the wire
	Body    []byte `json:"body"` // with which it ends
}

// goesOn says whether it is to go on, so long after it began.
func (g *generation) goesOn(since time.Duration) bool {
	return since < g.Duration && (g.ended == nil || !g.ended.Load())
}

func generatorCommand(p placement, g generation) (argv []string, input []byte, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	argv = []string{self, generateArg}
	if p == pinned {
		argv = onCPU(loadCPU, argv)
	}
	input, err = json.Marshal(g)
	return argv, input, err
}

// generateMain is bench as a load generator; it prints what it counted as
// conf/wrk-count.lua does.
func generateMain(in io.Reader, out io.Writer) error {
	var g generation
	if err := json.NewDecoder(in).Decode(&g); err != nil {
		return fmt.Errorf("%s: %w", generateArg, err)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt)
	if err := os.WriteFile("/proc/self/comm", []byte(generatorName), 0); err != nil {
		return fmt.Errorf("%s: saying that it has begun: %w", generateArg, err)
	}
	g.ended = new(atomic.Bool)
	go func() {
		<-told
		g.ended.Store(true)
	}()
	run := generate
	switch {
	case g.Echo > 0:
		run = echo
	case g.Inside:
		run = inside
	case g.H2 != nil:
		run = h2load
	case g.TLS:
		run = handshake
	}
	res, err := run(g)
	if err != nil {
		return err
	}
	text, err := json.Marshal(res)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "counted %s\n", text)
	return err
}

// generator keeps connections busy, each with one request at a time.
type generator struct {
	generation
	to      unix.Sockaddr
	epoll   int
	clients map[int32]*client
	dialled int // connections so far
	buf     []byte
	res     result
	times   []time.Duration
	now     time.Time
}

// client is a connection with a request under way.
type client struct {
	fd      int
	answer  []byte
	ask     int       // which of them is under way
	done    int       // requests answered
	started time.Time // of the request, or of the connection that is made for it
	due     time.Time // the request, where there is a pace
	rests   bool      // until the next one is due
}

func generate(g generation) (result, error) {
	gen := &generator{generation: g, clients: map[int32]*client{}, buf: make([]byte, 256<<10)}
	var err error
	if gen.to, err = sockaddr(g.Addr); err != nil {
		return result{}, err
	}
	if gen.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return result{}, err
	}
	defer unix.Close(gen.epoll)
	if g.Rate > 0 {
		return gen.onSchedule()
	}
	gen.now = time.Now()
	for range g.Conns {
		gen.replace(nil)
	}
	return gen.run()
}

// run goes on until the time is up.
func (gen *generator) run() (result, error) {
	began := gen.now
	events := make([]unix.EpollEvent, 512)
	for gen.goesOn(gen.now.Sub(began)) {
		n, err := waitEvents(gen.epoll, events, gen.patience())
		if err != nil && err != unix.EINTR {
			return result{}, err
		}
		gen.now = time.Now()
		for _, ev := range events[:max(0, n)] {
			if c := gen.clients[ev.Fd]; c != nil {
				gen.receive(c)
			}
		}
		gen.askDue()
		if n == 0 {
			gen.dropStalled()
		}
	}
	gen.countWaiting()
	gen.res.Elapsed = gen.now.Sub(began)
	for _, c := range gen.clients {
		gen.res.Bytes += int64(len(c.answer))
		unix.Close(c.fd)
	}
	gen.res.Percentiles = latency.Of(gen.times)
	return gen.res, nil
}

// receive takes what a connection has brought, and asks again when the answer
// is whole.
func (g *generator) receive(c *client) {
	n, err := unix.Read(c.fd, g.buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil:
		g.failed(c)
		return
	}
	c.answer = append(c.answer, g.buf[:n]...)
	asked := &g.Asks[c.ask]
	whole := int64(len(c.answer)) == asked.Size
	switch {
	case n == 0 && len(c.answer) == 0:
		g.failed(c)
		return
	case n == 0 && (!g.Close || !whole), int64(len(c.answer)) > asked.Size:
		g.wrong(c)
		return
	case !whole || g.Close && n > 0:
		return // the rest, or the end, is to come
	}
	if !bytes.HasPrefix(c.answer, []byte("HTTP/1.1 200 ")) || !bytes.HasSuffix(c.answer, asked.Body) {
		g.wrong(c)
		return
	}
	g.res.Requests++
	g.res.Bytes += asked.Size
	g.times = append(g.times, g.now.Sub(c.started))
	c.done++
	c.ask = (c.ask + 1) % len(g.Asks)
	switch {
	case g.Close, c.done == g.Each:
		g.replace(c)
	case g.Pace > 0:
		g.rest(c)
	default:
		g.ask(c)
	}
}

// failed counts an error, and goes on with another connection.
func (g *generator) failed(c *client) {
	g.res.Errors++
	g.replace(c)
}

// wrong counts an answer that is not the right one.
func (g *generator) wrong(c *client) {
	g.res.Wrong++
	g.replace(c)
}

// replace opens a connection, instead of c if there is one, and asks on it.
func (g *generator) replace(c *client) {
	fresh := &client{ask: g.dialled % len(g.Asks), started: g.now, due: g.now}
	if c != nil {
		delete(g.clients, int32(c.fd))
		unix.Close(c.fd)
		if g.Rate > 0 { // the schedule goes on
			fresh.due, fresh.rests = c.due.Add(g.Pace), true
		}
	}
	if err := g.connect(fresh); err != nil {
		g.res.Errors++
		return
	}
	g.clients[int32(fresh.fd)] = fresh
	if !fresh.rests {
		g.ask(fresh)
	}
}

// connect does not wait on loopback unless the server's backlog is full, and
// then the wait is what a client of it would see.
func (g *generator) connect(c *client) (err error) {
	family := unix.AF_UNIX
	if _, ok := g.to.(*unix.SockaddrInet4); ok {
		family = unix.AF_INET
	}
	if c.fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			unix.Close(c.fd)
		}
	}()
	g.dialled++
	if family == unix.AF_INET {
		// Source addresses of 127.0.0.0/8 multiply the ports there are: the
		// last 60 s of connections all hold theirs.
		from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + g.dialled%50)}}
		if err := unix.SetsockoptInt(c.fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return err
		}
		if err := unix.Bind(c.fd, from); err != nil {
			return err
		}
	}
	if err := unix.Connect(c.fd, g.to); err != nil {
		return err
	}
	if err := unix.SetNonblock(c.fd, true); err != nil {
		return err
	}
	return unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)})
}

// ask sends the request, which always fits the buffer of a socket that has
// nothing else to send. An error shows when the answer is read.
func (g *generator) ask(c *client) {
	c.answer, c.started = c.answer[:0], g.now
	unix.Write(c.fd, g.Asks[c.ask].Request)
}

// dropStalled counts connections on which nothing has come for long.
func (g *generator) dropStalled() {
	for _, c := range g.clients {
		if g.now.Sub(c.started) > stalled {
			g.failed(c)
		}
	}
	for range g.Conns - len(g.clients) {
		g.replace(nil) // those that could not connect
	}
}

func sockaddr(addr string) (unix.Sockaddr, error) {
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		return &unix.SockaddrUnix{Name: path}, nil
	}
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	sa := &unix.SockaddrInet4{Port: tcp.Port}
	copy(sa.Addr[:], tcp.IP.To4())
	return sa, nil
}
