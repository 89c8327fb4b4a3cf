//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// runner takes the comparisons one after another.
type runner struct {
	shop      *workshop
	rounds    int
	duration  time.Duration // of a timed run
	warmup    time.Duration
	crossings bool // count kernel crossings, in a run of their own
	wrk, perf string
	progress  io.Writer
	ends      time.Time // an estimate
}

// running is a server that accepts connections.
type running struct {
	*process
	addr  string
	sizes []int64 // of the answer to each load, on the wire, as checked
}

// outcome is what came of a comparison.
type outcome struct {
	comparison
	samples []sample
	err     error // why there is no figure, or why there are fewer rounds
}

// side is the samples of one server, in the order of the rounds.
func (o outcome) side(side string, counted bool) []sample {
	var out []sample
	for _, s := range o.samples {
		if s.Side == side && (s.Round == 0) == counted {
			out = append(out, s)
		}
	}
	return out
}

func (o outcome) summary(m metric) summary {
	return summarize(values(o.side("a", false), m), values(o.side("b", false), m))
}

func values(samples []sample, m metric) []float64 {
	var out []float64
	for _, s := range samples {
		out = append(out, m.value(s))
	}
	return out
}

// estimate is how long a comparison will take.
func (r *runner) estimate(c comparison) time.Duration {
	const aroundEach = 300 * time.Millisecond
	if c.idle > 0 {
		return time.Duration(2*r.rounds) * (idleWait + 2*time.Second)
	}
	d := 2 * (r.warmup + time.Duration(r.rounds)*(r.duration+aroundEach))
	if r.crossings {
		d += 2 * (r.duration + aroundEach)
	}
	return d
}

func (r *runner) left() time.Duration {
	return max(0, time.Until(r.ends)).Round(time.Second)
}

// start starts a server, and waits until it listens.
func (r *runner) start(ctx context.Context, c *comparison, s *server) (*running, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	argv, err := s.command(r.shop, c, addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	env := environment()
	if c.placement == pinned {
		argv, env = onCPU(serverCPU, argv), environment("GOMAXPROCS=1")
	}
	p, err := startProcess(argv, env, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	srv := &running{process: p, addr: addr}
	if err := p.awaitListening(ctx, addr); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s does not start: %w", s.name, err)
	}
	return srv, nil
}

// check makes sure that two servers answer every load of the comparison right,
// and the same. Their figures would be worth nothing otherwise.
func (c *comparison) check(a, b *running) error {
	for i, l := range c.loads {
		var answers []answer
		for _, side := range []struct {
			server *server
			*running
		}{{c.a, a}, {c.b, b}} {
			got, err := checkAnswers(side.addr, l)
			if err != nil {
				return fmt.Errorf("refused: %s answers wrongly: %w", side.server.name, err)
			}
			side.sizes = append(side.sizes[:i], got.size)
			answers = append(answers, got)
		}
		if err := sameAnswer(answers[0], answers[1]); err != nil {
			return fmt.Errorf("refused: %s and %s answer GET %s differently: %w", c.a.name, c.b.name, l.path, err)
		}
	}
	return nil
}

// compare measures a and b in turn.
func (r *runner) compare(ctx context.Context, c comparison) (out outcome) {
	out.comparison = c
	if c.idle > 0 {
		out.err = r.compareIdle(ctx, &out)
		return out
	}
	out.err = r.pair(ctx, &c, func(a, b *running) error {
		for _, srv := range []*running{a, b} {
			if _, err := r.measure(ctx, &c, srv, r.warmup, false); err != nil {
				return err
			}
		}
		for round := 1; round <= r.rounds; round++ {
			if err := r.round(ctx, &out, a, b, round); err != nil {
				return err
			}
		}
		if r.crossings {
			return r.round(ctx, &out, a, b, 0)
		}
		return nil
	})
	return out
}

// pair runs f beside both servers, and checks that they still answer right
// when it is done.
func (r *runner) pair(ctx context.Context, c *comparison, f func(a, b *running) error) error {
	a, err := r.start(ctx, c, c.a)
	if err != nil {
		return err
	}
	defer a.stop()
	b, err := r.start(ctx, c, c.b)
	if err != nil {
		return err
	}
	defer b.stop()
	if err := c.check(a, b); err != nil {
		return err
	}
	if err := f(a, b); err != nil {
		return err
	}
	return c.check(a, b)
}

// round is one timed run on either side; round 0 counts kernel crossings.
func (r *runner) round(ctx context.Context, out *outcome, a, b *running, round int) error {
	sa, err := r.measure(ctx, &out.comparison, a, r.duration, round == 0)
	if err != nil {
		return fmt.Errorf("%s: %w", out.a.name, err)
	}
	sb, err := r.measure(ctx, &out.comparison, b, r.duration, round == 0)
	if err != nil {
		return fmt.Errorf("%s: %w", out.b.name, err)
	}
	r.record(out, sa, sb, round)
	return nil
}

// record keeps a pair of samples, and says so.
func (r *runner) record(out *outcome, a, b sample, round int) {
	a.Side, a.Server, a.Comparison, a.Round = "a", out.a.name, out.name, round
	b.Side, b.Server, b.Comparison, b.Round = "b", out.b.name, out.name, round
	out.samples = append(out.samples, a, b)
	m, what := out.figures[0].metric, fmt.Sprintf("round %d/%d", round, r.rounds)
	if round == 0 {
		m, what = crossings, "counting"
	}
	s := summarize([]float64{m.value(a)}, []float64{m.value(b)})
	fmt.Fprintf(r.progress, "  %s: %s: %s %.4g, %s %.4g, ratio %.3f; about %v left\n",
		what, m.name, out.a.name, s.A, out.b.name, s.B, s.Ratio, r.left())
}

// compareIdle takes fresh servers every round: memory once taken is not always
// given back.
func (r *runner) compareIdle(ctx context.Context, out *outcome) error {
	c := &out.comparison
	for round := 1; round <= r.rounds; round++ {
		err := r.pair(ctx, c, func(a, b *running) error {
			sa, err := measureIdle(ctx, a, c.loads[0], c.idle)
			if err != nil {
				return fmt.Errorf("%s: %w", c.a.name, err)
			}
			sb, err := measureIdle(ctx, b, c.loads[0], c.idle)
			if err != nil {
				return fmt.Errorf("%s: %w", c.b.name, err)
			}
			r.record(out, sa, sb, round)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// measure drives all loads of the comparison at once for d, and takes the CPU
// time that the server used from before the first connection to after the last.
func (r *runner) measure(ctx context.Context, c *comparison, srv *running, d time.Duration, count bool) (sample, error) {
	var s sample
	begin := time.Now()
	all, err := machineTime()
	if err != nil {
		return s, err
	}
	before, err := cpuTime(srv.pid())
	if err != nil {
		return s, err
	}
	counter := ""
	procs := make([]*process, len(c.loads))
	outputs := make([]bytes.Buffer, len(c.loads))
	for i, l := range c.loads {
		argv, err := r.loadCommand(c, l, srv.addr, d)
		if err == nil && count && i == 0 {
			counter = filepath.Join(r.shop.dir, "perf.out")
			argv, err = r.counting(argv, srv.pid(), counter)
		}
		if err == nil {
			procs[i], err = startProcess(argv, environment(), &outputs[i])
		}
		if err != nil {
			return s, err
		}
		defer procs[i].stop()
	}
	for _, p := range procs {
		if err := p.wait(ctx); err != nil {
			return s, fmt.Errorf("load generator: %w", err)
		}
	}
	after, err := cpuTime(srv.pid())
	if err != nil {
		return s, err
	}
	s.CPU = after - before
	allAfter, err := machineTime()
	if err != nil {
		return s, err
	}
	others := allAfter - all - s.CPU
	for _, p := range procs {
		others -= p.cpuUsed()
	}
	s.Others = max(0, float64(others)/float64(time.Since(begin)))
	for i, l := range c.loads {
		res, err := parseLoad(l, outputs[i].Bytes())
		if err != nil {
			return s, err
		}
		if err := res.check(srv.sizes[i], l); err != nil {
			return s, fmt.Errorf("refused: %w", err)
		}
		s.Results = append(s.Results, res)
	}
	if counter != "" {
		text, err := os.ReadFile(counter)
		if err != nil {
			return s, err
		}
		s.Crossings, err = parsePerf(string(text))
		return s, err
	}
	return s, nil
}

func (r *runner) loadCommand(c *comparison, l load, addr string, d time.Duration) ([]string, error) {
	if l.close {
		return closeLoadCommand(c.placement, l, addr, d)
	}
	return wrkCommand(r.wrk, r.shop.script, c.placement, wrkThreads(c.placement, len(c.loads)), l, addr, d), nil
}

func parseLoad(l load, out []byte) (r result, err error) {
	if l.close {
		err = json.Unmarshal(out, &r)
		return r, err
	}
	return parseWrk(string(out))
}

// counting is the command line that runs argv while perf counts the system
// calls of the server and its children.
func (r *runner) counting(argv []string, server int, output string) ([]string, error) {
	tree, err := processTree(server)
	if err != nil {
		return nil, err
	}
	var pids []string
	for _, st := range tree {
		pids = append(pids, fmt.Sprint(st.pid))
	}
	return append([]string{r.perf, "stat", "-x,", "-e", "raw_syscalls:sys_enter",
		"-o", output, "-p", strings.Join(pids, ","), "--"}, argv...), nil
}
