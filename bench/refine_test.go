//go:build linux

package main

import (
	"context"
	"math"
	"testing"
	"time"
)

// scattered is a comparison of two servers whose ratio is one by one start and
// another by the next.
func scattered(name string, ratios ...time.Duration) *outcome {
	o := &outcome{Name: name, Metric: cpuPerRequest.name, Loads: 1, Starts: len(ratios), Rounds: len(ratios), Sides: []side{{Server: "a"}, {Server: "b"}}}
	for i, r := range ratios {
		for server, cpu := range map[string]time.Duration{"a": r, "b": 1000} {
			o.Runs = append(o.Runs, sample{Server: server, Round: i + 1, CPU: cpu, Results: []result{{Requests: 1}}})
		}
	}
	o.summarize()
	return o
}

// The worst known comparison gets more starts, whose rounds are numbered on;
// those that are known well get none, and without time nobody does.
func TestRefine(t *testing.T) {
	right := ok("x")
	for _, tc := range []struct {
		name   string
		worst  []time.Duration
		d      time.Duration
		starts bool
	}{
		{"scattered", []time.Duration{1000, 1300}, time.Minute, true},
		{"known", []time.Duration{1000, 1001}, time.Minute, false},
		{"no time", []time.Duration{1000, 1300}, time.Millisecond, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := testRunner(t, len(right))
			r.rounds = 1
			sides := []*server{serverOf("a", right), serverOf("b", right)}
			c := comparison{placement: free, sides: sides, loads: []load{{path: "/", conns: 1, body: []byte("x")}}}
			steady, worst := scattered("steady", 1000, 1000), scattered("worst", tc.worst...)
			// It goes on until the time is up: two starts are enough here.
			ctx, stop := contextOfStarts(t, sides[1], 2)
			defer stop()
			r.refine(ctx, []comparison{c, c}, []*outcome{steady, worst}, time.Now().Add(tc.d))
			if got := worst.Starts > 2; got != tc.starts || steady.Starts != 2 {
				t.Errorf("%d starts of the worst, %d of the other", worst.Starts, steady.Starts)
			}
			if tc.starts && (worst.Rounds != worst.Starts || worst.timed("b", cpuPerRequest)[3] == 0) {
				t.Errorf("%d rounds of %d starts: %v", worst.Rounds, worst.Starts, worst.timed("b", cpuPerRequest))
			}
		})
	}
}

// A server that fails in one more start leaves what was measured before.
func TestStartAgainKeepsWhatThereIs(t *testing.T) {
	right := ok("x")
	ends := &server{name: "b", command: func(*workshop, *comparison, string) ([]string, error) {
		return []string{"sh", "-c", "exit 1"}, nil
	}}
	out := scattered("test", 1000, 1300)
	runs := len(out.Runs)
	again := testRunner(t, len(right)).startAgain(t.Context(), &comparison{
		placement: free, sides: []*server{serverOf("a", right), ends}, loads: []load{{path: "/", conns: 1, body: []byte("x")}},
	}, out)
	if again || out.Starts != 2 || out.Rounds != 2 || len(out.Runs) != runs || out.row("b") == nil || !out.usable("b") {
		t.Errorf("goes on: %v; %d starts, %d rounds, %d runs of %d; %+v", again, out.Starts, out.Rounds, len(out.Runs), runs, out.Sides)
	}
}

// contextOfStarts is done when the server is started for the nth time.
func contextOfStarts(t *testing.T, s *server, n int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	command := s.command
	s.command = func(w *workshop, c *comparison, addr string) ([]string, error) {
		if n--; n == 0 {
			cancel()
		}
		return command(w, c, addr)
	}
	return ctx, cancel
}

// A start does most for ratios whose errors are near what may be apart: those that
// are known well agree without it, and those that are hopeless not with it.
func TestDisagreements(t *testing.T) {
	of := func(e float64) *outcome {
		return &outcome{Rows: []row{{Server: "a"}, {Server: "b", Primary: summary{Error: e}}}}
	}
	for _, tc := range []struct{ err, part, want float64 }{
		{0, 1, 0},
		{0.05 / math.Sqrt2, 1, 0.3173}, // the difference's error is as much as may be apart
		{0.05, 1 / math.Sqrt2, 0.3173},
		{0.025 / math.Sqrt2, 1, 0.0455}, // half as much
	} {
		if got := of(tc.err).disagreements(tc.part); math.Abs(got-tc.want) > 0.0001 {
			t.Errorf("error %.3g, of which %.3g: %.4f, want %.4f", tc.err, tc.part, got, tc.want)
		}
	}
	gain := func(e float64) float64 { return of(e).disagreements(1) - of(e).disagreements(0.8) }
	if gain(0.03) < gain(0.005) || gain(0.03) < gain(0.5) {
		t.Errorf("gains %v, %v, %v", gain(0.005), gain(0.03), gain(0.5))
	}
}
