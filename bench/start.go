//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
)

// startAll starts every side that is there and answers right; the others are
// nil, and so are those that had to be given up before.
func (r *runner) startAll(ctx context.Context, c *comparison, out *outcome) []*running {
	servers := make([]*running, len(c.sides))
	var reference *answers
	for i, s := range c.sides {
		if ctx.Err() != nil {
			break
		}
		if out.Sides[i].Problem.Kind != "" {
			continue
		}
		srv, err := r.start(ctx, c, s)
		if err == nil {
			out.Sides[i].Command = strings.Join(srv.cmd.Args, " ")
			servers[i] = srv
			err = srv.check(c, &reference)
		}
		if err != nil {
			r.giveUp(ctx, out, servers, i, err)
		}
	}
	return servers
}

// giveUp goes on without a side.
func (r *runner) giveUp(ctx context.Context, out *outcome, servers []*running, i int, err error) {
	if servers[i] != nil {
		servers[i].stop()
		servers[i] = nil
	}
	if ctx.Err() != nil {
		return // what was measured so far counts
	}
	p := problemOf(err)
	out.Sides[i].Problem = p
	name := out.Sides[i].Server
	switch {
	case p.Kind != missing:
		r.progress.note("%s: %s is %s", out.Name, name, p)
	case !r.absent[name]: // once is enough
		r.progress.note("%s is %s", name, p)
		if r.absent == nil {
			r.absent = map[string]bool{}
		}
		r.absent[name] = true
	}
}

// leaveOut gives up all sides that are left of a comparison, in one line, as what
// they are to ask is not there.
func (r *runner) leaveOut(ctx context.Context, c *comparison, out *outcome, err error) {
	if ctx.Err() != nil {
		return
	}
	p := problemOf(fmt.Errorf("%s: %w", c.upstream.name, err))
	for i := range out.Sides {
		if out.Sides[i].Problem == (problem{}) {
			out.Sides[i].Problem = p
		}
	}
	r.progress.note("%s is left out: %s", c.name, p.Why)
}

// start starts a server, and waits until it listens.
func (r *runner) start(ctx context.Context, c *comparison, s *server) (*running, error) {
	addr, err := r.shop.address(c.unix)
	if err != nil {
		return nil, err
	}
	argv, err := s.command(r.shop, c, addr)
	if err != nil {
		return nil, err
	}
	env := environment()
	switch {
	case c.placement == pinned:
		argv, env = onCPU(serverCPU, argv), environment("GOMAXPROCS=1")
	case c.procs > 0:
		env = environment(fmt.Sprintf("GOMAXPROCS=%d", c.procs))
	}
	srv := &running{server: s, addr: addr, lines: make(chan string, 16)}
	if srv.process, err = startProcess(argv, env, nil, lineWriter(srv.lines)); err != nil {
		return nil, err
	}
	if err := srv.awaitListening(ctx, addr); err != nil {
		srv.stop()
		return nil, fmt.Errorf("it does not start: %w", err)
	}
	if srv.rest, err = residentSize(srv.pid()); err != nil {
		srv.stop()
		return nil, err
	}
	return srv, nil
}
