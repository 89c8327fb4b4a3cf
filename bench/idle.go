//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// idleWait is part of the definition of an idle connection's memory.
	idleWait = time.Second
	// idleDialers is how many connections are opened at a time: few, so
	// that none overflows a backlog, and a server is not measured by the
	// most requests it ever had at once.
	idleDialers = 32
)

// openIdle opens n connections to addr and has one request answered on each.
func openIdle(ctx context.Context, addr string, l load, n int) ([]net.Conn, error) {
	conns := make([]net.Conn, n)
	errs := make([]error, idleDialers)
	var wg sync.WaitGroup
	for d := range idleDialers {
		wg.Go(func() {
			for i := d; i < n && errs[d] == nil; i += idleDialers {
				if errs[d] = ctx.Err(); errs[d] == nil {
					conns[i], errs[d] = openAnswered(addr, l)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			closeAll(conns)
			return nil, fmt.Errorf("idle connections: %w", err)
		}
	}
	return conns, nil
}

func openAnswered(addr string, l load) (net.Conn, error) {
	c, err := dial(addr, answerTimeout)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(answerTimeout))
	if l.echo > 0 {
		message := make([]byte, l.echo)
		if _, err = c.Write(message); err == nil {
			_, err = io.ReadFull(c, message)
		}
		if err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	}
	_, err = c.Write([]byte(l.request(addr)))
	if err == nil {
		var a answer
		if a, err = readAnswer(bufio.NewReader(c), false); err == nil {
			err = a.check(l.body)
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
}

// measureIdle is what n idle connections add to the server's resident memory.
func measureIdle(ctx context.Context, srv *running, l load, n int) (sample, error) {
	s := sample{Server: srv.server.name, Started: time.Now(), IdleConns: n, RestRSS: srv.rest}
	before, err := residentSize(srv.pid())
	if err != nil {
		return s, err
	}
	conns, err := openIdle(ctx, srv.addr, l, n)
	if err != nil {
		return s, err
	}
	defer closeAll(conns)
	select {
	case <-time.After(idleWait):
	case <-ctx.Done():
		return s, ctx.Err()
	}
	after, err := residentSize(srv.pid())
	s.IdleRSS = after - before
	return s, err
}
