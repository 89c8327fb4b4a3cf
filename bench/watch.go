//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// wrongError says how a server's answers are not the ones that are asked of it.
type wrongError string

func (e wrongError) Error() string { return string(e) }

// answers are the right ones of one server, by load and what it asks for.
type answers struct {
	of    string
	right [][]answer
}

// check makes sure that a server answers every load of the comparison right,
// and as the reference does: figures of servers that do something else are
// worth nothing. The first server that is checked is the reference.
func (srv *running) check(c *comparison, reference **answers) error {
	got := &answers{of: srv.server.name}
	for _, l := range c.loads {
		var right []answer
		for _, p := range l.pages() {
			a, err := l.only(p).ask(srv.addr)
			if err != nil {
				return wrongError(err.Error())
			}
			right = append(right, a)
		}
		got.right = append(got.right, right)
	}
	srv.right = got.right
	if *reference == nil {
		*reference = got
		return nil
	}
	for i, l := range c.loads {
		for k, p := range l.pages() {
			if err := sameAnswer((*reference).right[i][k], got.right[i][k], l.may); err != nil {
				return wrongError(fmt.Sprintf("GET %s is not answered as by %s: %v", p.path, (*reference).of, err))
			}
		}
	}
	return nil
}

// ask checks what a server answers to l.
func (l load) ask(addr string) (answer, error) {
	switch {
	case l.echo > 0:
		return checkEcho(addr, l)
	case l.streams > 0:
		return checkH2(addr, l)
	}
	return checkAnswers(addr, l)
}

// askAll checks an answer to every load while it runs: of several pages to any
// one, lest the checks become a load. A server that is gone did not answer wrongly.
func (srv *running) askAll(c *comparison) error {
	for _, l := range c.loads {
		if l.rare {
			continue
		}
		pages := l.pages()
		_, err := l.only(pages[rand.IntN(len(pages))]).ask(srv.addr)
		if err == nil {
			continue
		}
		select {
		case <-srv.exited:
			if srv.err == nil {
				return errors.New("it ended under load")
			}
			return fmt.Errorf("it ended under load: %w", srv.failure())
		case <-time.After(endNoticed):
			return wrongError("under load: " + err.Error())
		}
	}
	return nil
}

// endNoticed is how soon after its last connection a process has ended.
const endNoticed = 100 * time.Millisecond

// watchEvery is seldom enough not to be a load.
const watchEvery = 100 * time.Millisecond

// watchAnswers compares answers with the right ones while a load runs, for wrk
// looks only at status and length. The function it returns ends that, and tells
// how many were right, and of the first that was not.
func watchAnswers(ctx context.Context, srv *running, c *comparison) func() (int, error) {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	checked, err := 0, error(nil)
	go func() {
		defer close(done)
		every := time.NewTicker(watchEvery)
		defer every.Stop()
		for err == nil {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
			if err = srv.askAll(c); err == nil {
				checked += len(c.loads)
			}
		}
	}()
	return func() (int, error) {
		stop()
		<-done
		return checked, err
	}
}
