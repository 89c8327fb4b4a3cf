//go:build linux

package main

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestSummarize(t *testing.T) {
	for _, tc := range []struct {
		name  string
		pairs []pair
		want  summary
	}{
		{"nothing", nil, summary{}},
		{"one round", []pair{{3, 4, 0}}, summary{3, 3, 3, 0.75, 0, 0.75, 0.75, 1}},
		{"a mean of ratios", []pair{{1, 2, 0}, {2, 8, 0}, {16, 2, 0}}, summary{2, 1, 16, 1, math.Ln2 * math.Sqrt(14.0/2/3), 0.25, 8, 3}},
		{"even", []pair{{1, 1, 0}, {2, 1, 0}, {4, 1, 0}, {8, 1, 0}}, summary{3, 1, 8, math.Sqrt(8), math.Ln2 * math.Sqrt(5.0/3/4), 1, 8, 4}},
		{"nothing to divide by", []pair{{1, 0, 0}, {4, 2, 1}}, summary{2.5, 1, 4, 2, 0, 2, 2, 2}},
		// Means of 1 and of 4, that is logarithms of 0 and 2 ln 2, and more
		// between them than the rounds let expect.
		{"two starts", []pair{{1, 1, 0}, {1, 1, 0}, {2, 1, 1}, {8, 1, 1}}, summary{1.5, 1, 8, 2, math.Ln2, 1, 8, 4}},
		{"starts that agree", []pair{{1, 1, 0}, {4, 1, 0}, {4, 1, 1}, {1, 1, 1}}, summary{2.5, 1, 4, 2, math.Ln2 / math.Sqrt(3), 1, 4, 4}},
	} {
		got := summarize(tc.pairs)
		near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
		if !near(got.Value, tc.want.Value) || got.Least != tc.want.Least || got.Most != tc.want.Most || !near(got.Ratio, tc.want.Ratio) ||
			!near(got.Error, tc.want.Error) || !near(got.Low, tc.want.Low) || !near(got.High, tc.want.High) || got.Rounds != tc.want.Rounds {
			t.Errorf("%s: got %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestMedianLeavesItsArgument(t *testing.T) {
	v := []float64{3, 1, 2}
	if m := median(v); m != 2 || v[0] != 3 {
		t.Errorf("median %v of %v", m, v)
	}
}

func TestGoal(t *testing.T) {
	s := summary{Value: 600, Ratio: 0.3, Rounds: 5}
	for _, tc := range []struct {
		g    goal
		text string
		met  bool
	}{
		{goal{Metric: "m", Against: "b", Limit: 0.3}, "m/b ≤ 0.3", true},
		{goal{Metric: "m", Against: "b", Limit: 0.29}, "m/b ≤ 0.29", false},
		{goal{Metric: "m", Against: "b", Limit: 0.3, AtLeast: true}, "m/b ≥ 0.3", true},
		{goal{Metric: "m", Against: "b", Limit: 0.95, AtLeast: true}, "m/b ≥ 0.95", false},
		{goal{Metric: "m", Limit: 700}, "m ≤ 700", true},
		{goal{Metric: "m", Limit: 500}, "m ≤ 500", false},
		{goal{Metric: "m", Of: "c", Limit: 700}, "c: m ≤ 700", true},
		{goal{Metric: "m", Of: "c", Against: "b", Limit: 0.2}, "c: m/b ≤ 0.2", false},
	} {
		if got := tc.g.String(); got != tc.text {
			t.Errorf("goal %q, want %q", got, tc.text)
		}
		if got := tc.g.met(s); got != tc.met {
			t.Errorf("%s: met %v", tc.text, got)
		}
	}
}

// outcomeOf is a comparison of a and b, of which CPU was measured in so many rounds.
func outcomeOf(rounds int, a, b time.Duration) *outcome {
	o := &outcome{Metric: cpuPerRequest.name, Loads: 1, Rounds: 5, Sides: []side{{Server: "a"}, {Server: "b"}},
		Goals: []goal{{Metric: cpuPerRequest.name, Against: "b", Limit: 0.75}}}
	for round := 1; round <= rounds; round++ {
		for server, cpu := range map[string]time.Duration{"a": a, "b": b} {
			o.Runs = append(o.Runs, sample{Server: server, Round: round, CPU: cpu, Results: []result{{Requests: 1000}}},
				sample{Server: server, Round: round, Whole: true, CPU: 2 * cpu, Results: []result{{Requests: 1000, Elapsed: time.Second}}})
		}
	}
	return o
}

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		o      *outcome
		change func(*outcome)
		want   []string // of b
	}{
		{"met", outcomeOf(5, 7, 10), func(*outcome) {}, []string{"CPU µs/request/b ≤ 0.75: met"}},
		{"missed", outcomeOf(5, 8, 10), func(*outcome) {}, []string{"CPU µs/request/b ≤ 0.75: missed"}},
		{"interrupted half-way", outcomeOf(2, 8, 10), func(*outcome) {}, []string{"CPU µs/request/b ≤ 0.75: missed, interrupted"}},
		{"interrupted before", outcomeOf(0, 8, 10), func(*outcome) {}, nil},
		{"of runs without a pause", outcomeOf(5, 7, 10), func(o *outcome) {
			o.Starts, o.Wholes = 6, 5
			o.Goals = []goal{{Metric: "slow requests/s", Against: "b", Limit: 0.95, AtLeast: true}}
		}, []string{"slow requests/s/b ≥ 0.95: met"}},
		{"of too few of these", outcomeOf(4, 7, 10), func(o *outcome) {
			o.Starts, o.Wholes = 6, 5
			o.Goals = []goal{{Metric: "slow requests/s", Against: "b", Limit: 0.95, AtLeast: true}}
		}, []string{"slow requests/s/b ≥ 0.95: met, interrupted"}},
		// Goals for the second of three are told with it, not with what it is beside.
		{"of another than the reference", outcomeOf(5, 7, 10), func(o *outcome) {
			o.Goals = []goal{{Metric: cpuPerRequest.name, Of: "b", Against: "a", Limit: 1.4}, {Metric: cpuPerRequest.name, Of: "b", Limit: 0.011}}
		}, []string{"b: CPU µs/request/a ≤ 1.4: missed", "b: CPU µs/request ≤ 0.011: met"}},
		{"of the reference, by another's name", outcomeOf(5, 7, 10), func(o *outcome) {
			o.Goals = []goal{{Metric: cpuPerRequest.name, Of: "a", Against: "b", Limit: 1}}
		}, nil},
		{"without pauses", outcomeOf(5, 7, 10), func(o *outcome) {
			o.Steady, o.Wholes = true, 0
			o.Runs = slices.DeleteFunc(o.Runs, func(s sample) bool { return !s.Whole })
			o.Goals = append(o.Goals, goal{Metric: "p50 ms", Against: "b", Limit: 1})
		}, []string{"CPU µs/request/b ≤ 0.75: met", "p50 ms/b ≤ 1: met"}},
		{"without pauses, and too few", outcomeOf(4, 7, 10), func(o *outcome) {
			o.Steady, o.Wholes = true, 0
			o.Goals = []goal{{Metric: "p50 ms", Against: "b", Limit: 1}}
		}, []string{"p50 ms/b ≤ 1: met, interrupted"}},
		// Figures of a server that turned out to answer wrongly are no figures.
		{"wrong at the end", outcomeOf(5, 7, 10), func(o *outcome) { o.Sides[1].Problem = problem{wrong, "a 500"} }, nil},
	} {
		tc.change(tc.o)
		tc.o.summarize()
		var got []string
		for _, r := range tc.o.Rows {
			if r.Server == "b" {
				got = r.Verdicts
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestCPUPerRequest(t *testing.T) {
	s := sample{CPU: 3 * time.Second, Results: []result{{Requests: 300_000}, {Requests: 100_000}}}
	if got := cpuPerRequest.value(s); got != 7.5 {
		t.Errorf("got %v µs", got)
	}
	if got := cpuPerRequest.value(sample{CPU: time.Second}); got != 0 {
		t.Errorf("without a request: %v", got)
	}
}

func TestSuiteNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range suite(backends{chosen: "direct", others: []string{"uring", "kmod"}}) {
		if seen[c.name] {
			t.Errorf("%s twice", c.name)
		}
		seen[c.name] = true
		if len(c.sides) < 2 || len(c.loads) == 0 || c.conditions() == "" {
			t.Errorf("%s has no two sides, no load or no conditions", c.name)
		}
		names := map[string]bool{}
		for _, s := range c.sides {
			names[s.name] = true
		}
		if len(names) != len(c.sides) {
			t.Errorf("%s has two sides of one name", c.name)
		}
		for _, g := range c.goals {
			if g.Against != "" && !names[g.Against] || g.Of != "" && !names[g.Of] {
				t.Errorf("%s: %s is of, or beside, a server that is not there", c.name, g)
			}
			if !slices.ContainsFunc(goalMetrics, func(m metric) bool { return m.name == g.Metric }) {
				t.Errorf("%s: %s is of no metric that there is", c.name, g)
			}
		}
		for _, l := range c.loads {
			if l.inside && !c.steady {
				t.Errorf("%s: clients in the server's process cannot stand still while it is another's turn", c.name)
			}
			if len(l.body) == 0 && l.echo == 0 {
				t.Errorf("%s: no right answer to GET %s", c.name, l.path)
			}
		}
	}
}

// What is scattered by start gets starts, by round rounds, and many connections
// few long ones of these.
func TestStartsAndRounds(t *testing.T) {
	r := &runner{starts: 3, rounds: 8, duration: 200 * time.Millisecond}
	for _, tc := range []struct {
		name                   string
		c                      comparison
		starts, rounds, wholes int
	}{
		{"pinned", comparison{placement: pinned, loads: hello(50)}, 3, 8, 3},
		{"free", comparison{placement: free, loads: hello(256)}, 6, 8, 3},
		{"1,000", comparison{placement: free, loads: hello(1000)}, 6, 5, 3},
		{"10,000", comparison{placement: free, loads: hello(10000)}, 6, 2, 3},
		{"idle", comparison{placement: free, loads: hello(1), idle: 10}, 3, 1, 0},
		{"steady", comparison{placement: free, loads: hello(1), steady: true}, 6, 3, 0},
		{"a goal for latencies", comparison{placement: free, loads: hello(50), goals: asFast(fasthttpServer, 1)}, 6, 8, 6},
		{"for latencies of esca alone", comparison{placement: free, loads: hello(50), goals: []goal{{Metric: p99(0).name, Limit: 1}}}, 6, 8, 3},
	} {
		o := r.newOutcome(&tc.c)
		if o.Starts != tc.starts || o.Rounds != tc.starts*tc.rounds || o.Wholes != tc.wholes {
			t.Errorf("%s: %d starts, %d rounds, %d runs without a pause", tc.name, o.Starts, o.Rounds, o.Wholes)
		}
	}
	r.rounds = 1
	if n := r.roundsOf(&comparison{placement: free, loads: hello(10000)}); n != 1 {
		t.Errorf("%d rounds where one was asked for", n)
	}
}

// Five minutes; and an hour, of which ten minutes and more are left to refine it.
func TestSuiteFitsIntoItsTime(t *testing.T) {
	all := suite(backends{chosen: "uring", others: []string{"direct"}}) // as on a machine without the module
	for _, tc := range []struct {
		quick  bool
		starts int
		rounds int
		most   time.Duration
	}{{true, 1, 8, 5 * time.Minute}, {false, 2, 8, fullRun - 10*time.Minute}} {
		r := &runner{starts: tc.starts, rounds: tc.rounds, duration: 200 * time.Millisecond, whole: time.Second, counter: counter{perf: "perf"},
			absent: map[string]bool{"esca on kmod": true, "escahttp on kmod": true}}
		var sum time.Duration
		for _, c := range choose(all, tc.quick, nil) {
			sum += r.estimate(&c, 0)
		}
		if sum > tc.most {
			t.Errorf("quick %v takes %v, of at most %v", tc.quick, sum, tc.most)
		}
	}
}
