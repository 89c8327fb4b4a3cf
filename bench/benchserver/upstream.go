//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/escahttp/esca/bench/internal/serving"
)

// mostKept is how many connections to its upstream a server keeps open.
const mostKept = 64

// question is what a server asks its upstream, and what it is to answer.
const question = "a question of sixty-four bytes, as a small query may well have..."

// pool has connections to the upstream, by package net, as a database driver
// keeps them.
type pool struct {
	addr string
	kept chan net.Conn
}

func newPool(addr string) *pool { return &pool{addr: addr, kept: make(chan net.Conn, mostKept)} }

// roundTrip asks the upstream one question.
func (p *pool) roundTrip() error {
	if p.addr == "" {
		return errors.New("benchserver has no upstream: start it with -upstream")
	}
	c, err := p.get()
	if err != nil {
		return err
	}
	var answer [len(question)]byte
	if _, err = io.WriteString(c, question); err == nil {
		_, err = io.ReadFull(c, answer[:])
	}
	if err == nil && string(answer[:]) != question {
		err = errors.New("the upstream answers something else")
	}
	if err != nil {
		c.Close()
		return err
	}
	select {
	case p.kept <- c:
	default:
		c.Close()
	}
	return nil
}

func (p *pool) get() (net.Conn, error) {
	select {
	case c := <-p.kept:
		return c, nil
	default:
		return net.Dial("tcp4", p.addr)
	}
}

func init() {
	runtimes["net-echo"] = func(cfg serving.Config) (serving.Service, error) {
		ln, err := cfg.Listen()
		return upstream{ln}, err
	}
}

// upstream sends back what it gets, with a goroutine for each connection.
type upstream struct{ ln net.Listener }

func (u upstream) Serve(_ serving.Config, ready func(string)) error {
	ready(u.ln.Addr().String())
	for {
		c, err := u.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("upstream: %w", err)
		}
		go echoAll(c)
	}
}

// echoAll does not use io.Copy, which would splice.
func echoAll(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 4<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (u upstream) Shutdown(context.Context) error { return u.ln.Close() }
