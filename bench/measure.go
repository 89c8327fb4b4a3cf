//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// runner takes the comparisons one after another.
type runner struct {
	shop     *workshop
	starts   int           // of every server of a pinned comparison
	rounds   int           // after each start; fewer where they are long
	duration time.Duration // that every side is driven in a round
	whole    time.Duration // of a run without a pause
	wrk      string
	counter  counter
	progress *progress
	absent   map[string]bool // servers that were found missing
}

// running is a server that accepts connections.
type running struct {
	*process
	server *server
	addr   string
	right  [][]answer // to what each load asks for, as checked
	rest   int64      // resident memory before any load
	lines  chan string
}

const (
	warmup      = 200 * time.Millisecond // of every side, in turns
	aroundEach  = 60 * time.Millisecond  // what a side takes in a round, or a run, beyond its duration
	startingOne = 200 * time.Millisecond // and a server to start, be checked twice and stop
	idleRun     = idleWait + 2*time.Second
	steadyShare = 3 // rounds without a pause are a third as many: each is longer
)

// startsOf is how often the servers of a comparison are started. With nothing
// pinned their ratios are scattered two to four times as wide: which loop and
// which processor has which connection is decided anew each time, and stays.
func (r *runner) startsOf(c *comparison) int {
	if c.placement == free && c.idle == 0 && !c.brief {
		return 2 * r.starts
	}
	return r.starts
}

// roundsOf is how many rounds there are after a start. Where connections are many
// a round is long, and as many of them would take most of the time there is; what
// differs from start to start weighs more there.
func (r *runner) roundsOf(c *comparison) int {
	switch {
	case c.idle > 0:
		return 1
	case c.steady:
		return (r.rounds + steadyShare - 1) / steadyShare
	}
	asFew := min(2, r.rounds)
	return max(asFew, min(r.rounds, int(time.Duration(r.rounds)*2*r.duration/c.driven(r.duration))))
}

// estimate is how long a comparison will take, after so many of its starts.
func (r *runner) estimate(c *comparison, done int) time.Duration {
	sides, starts := r.present(c), max(0, r.startsOf(c)-done)
	if c.idle > 0 {
		return time.Duration(sides*starts) * (startingOne + idleRun)
	}
	wholes := max(0, r.wholesOf(c)-done)
	if r.counter.perf != "" && done == 0 {
		wholes++
	}
	return time.Duration(starts)*r.startCost(c) + time.Duration(sides*wholes)*(r.whole+aroundEach)
}

// wholesOf is how many of the first starts have a run without a pause. Latencies
// and rates are reported as they were, not as ratios that have to be known well,
// unless a goal is about such a ratio.
func (r *runner) wholesOf(c *comparison) int {
	switch {
	case c.steady:
		return 0 // it has no others
	case slices.ContainsFunc(c.goals, func(g goal) bool { return g.Against != "" && metricNamed(g.Metric).whole }):
		return r.startsOf(c)
	}
	return min(r.starts, r.startsOf(c))
}

// startCost is how long the rounds after one start take.
func (r *runner) startCost(c *comparison) time.Duration {
	if c.steady {
		return time.Duration(r.present(c)) * (startingOne + time.Duration(1+r.roundsOf(c))*(r.whole+aroundEach))
	}
	each := startingOne + c.driven(warmup) + aroundEach + time.Duration(r.roundsOf(c))*(c.driven(r.duration)+aroundEach)
	return time.Duration(r.present(c)) * each
}

// present is how many sides are there, as far as is known.
func (r *runner) present(c *comparison) (n int) {
	for _, s := range c.sides {
		if !r.absent[s.name] {
			n++
		}
	}
	return n
}

// newOutcome is that of a comparison of which nothing has run.
func (r *runner) newOutcome(c *comparison) *outcome {
	out := &outcome{
		Name: c.name, Family: c.family, X: c.x, Conditions: c.conditions(), Placement: c.placement,
		Metric: c.metric().name, Loads: len(c.loads), Starts: r.startsOf(c), Rounds: r.startsOf(c) * r.roundsOf(c), Wholes: r.wholesOf(c), Steady: c.steady, Goals: c.goals,
	}
	for _, s := range c.sides {
		out.Sides = append(out.Sides, side{Server: s.name, Threads: s.threadsOf(c)})
	}
	switch {
	case c.idle > 0:
		out.Loads, out.Wholes = 0, 0
	case c.steady:
		out.Driven, out.Turn = r.whole.String(), r.whole.String()
	default:
		out.Driven, out.Turn = c.driven(r.duration).String(), c.turn().String()
	}
	return out
}

// compare measures the sides beside each other, after one more start: rounds are
// spread over several processes of every side, because some of what a process
// costs is decided when it starts: where its memory lies, which loop and which
// processor has which connection. A side that is missing, fails or answers
// wrongly is left out, and the others go on.
func (r *runner) compare(ctx context.Context, c *comparison, out *outcome, start int) {
	if c.idle > 0 {
		r.compareIdle(ctx, c, out, start)
	} else {
		r.compareLoads(ctx, c, out, start)
	}
	out.Interrupted = ctx.Err() != nil || start+1 < out.Starts
	out.summarize()
}

// compareLoads starts all sides, and takes rounds in turns; after the first starts
// also a run of each without a pause, and after the very first crossings are
// counted.
func (r *runner) compareLoads(ctx context.Context, c *comparison, out *outcome, start int) {
	if !slices.ContainsFunc(out.Sides, func(s side) bool { return s.Problem == problem{} }) {
		return
	}
	if c.upstream != nil {
		asked, addr, err := c.upstream.start(ctx, r.shop)
		if err != nil {
			r.leaveOut(ctx, c, out, err)
			return
		}
		defer asked.stop() // after those that ask it
		with := *c
		with.asks = addr
		c = &with
	}
	servers := r.startAll(ctx, c, out)
	defer func() {
		for _, srv := range servers {
			if srv != nil {
				srv.stop()
			}
		}
	}()
	inTurns := func(round int, d time.Duration) {
		samples, errs := r.interleave(ctx, c, servers, d)
		for i := range servers {
			switch {
			case servers[i] == nil:
			case errs[i] != nil:
				r.giveUp(ctx, out, servers, i, errs[i])
			case round != warmingRound:
				r.record(out, samples[i], round)
			}
		}
	}
	whole := func(round int) {
		for k := range servers {
			i := k
			if round%2 == 0 { // a b c, c b a, as in turns
				i = len(servers) - 1 - k
			}
			if servers[i] == nil || ctx.Err() != nil {
				continue
			}
			s, err := r.measure(ctx, c, servers[i], r.whole, round == countingRound)
			switch {
			case err != nil:
				r.giveUp(ctx, out, servers, i, err)
			case round != warmingRound:
				r.record(out, s, round)
			}
		}
	}
	if c.steady {
		whole(warmingRound)
	} else {
		inTurns(warmingRound, warmup)
	}
	rounds := r.roundsOf(c)
	for round := range rounds {
		if n := 1 + start*rounds + round; c.steady {
			whole(n)
		} else {
			inTurns(n, r.duration)
		}
	}
	if start < r.wholesOf(c) {
		whole(1 + start)
	}
	if start == 0 && (r.counter.perf != "" || slices.ContainsFunc(c.sides, func(s *server) bool { return s.counts })) {
		whole(countingRound)
	}
	var reference *answers
	for i, srv := range servers {
		if srv != nil && ctx.Err() == nil {
			if err := srv.check(c, &reference); err != nil {
				r.giveUp(ctx, out, servers, i, err)
			}
		}
	}
}

// Rounds that are not timed.
const (
	countingRound = 0
	warmingRound  = -1
)

// record keeps what was measured.
func (r *runner) record(out *outcome, s sample, round int) {
	s.Comparison, s.Round = out.Name, round
	out.Runs = append(out.Runs, s)
	m, what := metricNamed(out.Metric), fmt.Sprintf("round %d of %d", round, out.Rounds)
	switch {
	case round == countingRound:
		m, what = crossings, "counting"
	case s.Whole && !out.Steady:
		m, what = throughput(0), fmt.Sprintf("start %d of %d", round, out.Wholes)
	}
	r.progress.show("%s, %s: %s: %.4g %s", out.Name, what, s.Server, m.value(s), m.name)
}

// compareIdle takes fresh servers every time: memory once taken is not always
// given back.
func (r *runner) compareIdle(ctx context.Context, c *comparison, out *outcome, start int) {
	var reference *answers
	for i, s := range c.sides {
		if out.Sides[i].Problem.Kind != "" || ctx.Err() != nil {
			continue
		}
		servers := make([]*running, len(c.sides))
		srv, err := r.start(ctx, c, s)
		if err == nil {
			servers[i] = srv
			out.Sides[i].Command = strings.Join(srv.cmd.Args, " ")
			err = srv.check(c, &reference)
		}
		var got sample
		if err == nil {
			got, err = measureIdle(ctx, srv, c.loads[0], c.idle)
		}
		if err != nil {
			r.giveUp(ctx, out, servers, i, err)
			continue
		}
		srv.stop()
		r.record(out, got, 1+start)
	}
}

// measure drives all loads of the comparison at once for d without a pause, and
// takes the CPU time that the server used from before the first connection to
// after the last.
func (r *runner) measure(ctx context.Context, c *comparison, srv *running, d time.Duration, count bool) (s sample, err error) {
	s = sample{Server: srv.server.name, Started: time.Now(), RestRSS: srv.rest, Whole: true}
	others, err := othersTime()
	if err != nil {
		return s, err
	}
	before, err := cpuTime(srv.pid())
	if err != nil {
		return s, err
	}
	if c.late { // of what ran before
		if _, err := srv.takeLateness(); err != nil {
			return s, err
		}
	}
	own := int64(0)
	if count && srv.server.counts {
		if own, err = srv.ownCrossings(ctx); err != nil {
			return s, err
		}
	}
	procs := make([]*process, len(c.loads))
	outputs := make([]bytes.Buffer, len(c.loads))
	counted := filepath.Join(r.shop.dir, "perf.out")
	for i, l := range c.loads {
		argv, input, err := r.loadCommand(c, srv, i, d)
		if err == nil && count && i == 0 && r.counter.perf != "" {
			argv, err = r.counter.around(argv, srv.pid(), counted)
		}
		if err == nil {
			procs[i], err = startGenerator(argv, bytes.NewReader(input), &outputs[i])
		}
		if err != nil {
			return s, fmt.Errorf("load generator for GET %s: %w", l.path, err)
		}
		defer procs[i].stop()
	}
	watched := watchAnswers(ctx, srv, c)
	for _, p := range procs {
		if werr := p.wait(ctx); werr != nil && err == nil {
			err = fmt.Errorf("load generator: %w", werr)
		}
	}
	var verr error
	if s.Checked, verr = watched(); err == nil {
		err = verr
	}
	if err != nil {
		return s, err
	}
	after, err := settledTime(srv.pid())
	if err != nil {
		return s, err
	}
	s.CPU = after - before
	if c.late {
		if s.Late, err = srv.takeLateness(); err != nil {
			return s, err
		}
	}
	othersAfter, err := othersTime()
	if err != nil {
		return s, err
	}
	s.Others = max(0, float64(othersAfter-others)/float64(time.Since(s.Started)))
	if count {
		if err := r.readCounts(ctx, &s, srv, own, counted); err != nil {
			return s, err
		}
	}
	for i, l := range c.loads {
		res, err := parseWrk(outputs[i].String())
		if err != nil {
			return s, err
		}
		if err := res.check(srv.right[i], l); err != nil {
			return s, wrongError("GET " + l.path + ": " + err.Error())
		}
		s.Results = append(s.Results, res)
	}
	return s, nil
}

// loadCommand is a load generator, and its standard input: wrk, h2load, or bench
// itself.
func (r *runner) loadCommand(c *comparison, srv *running, i int, d time.Duration) (argv []string, input []byte, err error) {
	l := c.loads[i]
	threads := wrkThreads(c.placement, len(c.loads))
	if l.streams > 0 {
		path, err := lookPath("h2load", "nghttp2-client")
		if err != nil {
			return nil, nil, err
		}
		return generatorCommand(c.placement, generation{Conns: l.conns, Duration: d,
			H2: &h2Run{Path: path, URL: "https://" + srv.addr + l.path, Streams: l.streams, Threads: threads}})
	}
	if c.unix || l.ours() {
		g := generation{
			Addr: srv.addr, Conns: l.conns, Close: l.close, Pace: l.pace, Each: l.each, Rate: l.rate, TLS: l.tls, Resume: l.resume,
			Duration: d, Echo: l.echo, Pipeline: l.pipeline, Inside: l.inside,
		}
		for k, p := range l.pages() {
			g.Asks = append(g.Asks, ask{Request: []byte(l.only(p).request(srv.addr)), Size: srv.right[i][k].size, Body: p.body})
		}
		return generatorCommand(c.placement, g)
	}
	if r.wrk == "" {
		return nil, nil, missingError("wrk is not installed: apt-get install wrk")
	}
	return wrkCommand(r.wrk, r.shop.dir, c.placement, threads, l, srv.addr, d), nil, nil
}
