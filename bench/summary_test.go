//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestSummarize(t *testing.T) {
	for _, tc := range []struct {
		name string
		a, b []float64
		want summary
	}{
		{"nothing", nil, nil, summary{}},
		{"one round", []float64{3}, []float64{4}, summary{3, 4, 0.75, 0.75, 0.75, 1}},
		// The ratio of the medians would be 1.
		{"median of ratios", []float64{1, 2, 9}, []float64{2, 8, 2}, summary{2, 2, 0.5, 0.25, 4.5, 3}},
		{"even", []float64{1, 2, 3, 8}, []float64{1, 1, 1, 1}, summary{2.5, 1, 2.5, 1, 8, 4}},
		{"a round without its partner", []float64{1, 100}, []float64{2}, summary{1, 2, 0.5, 0.5, 0.5, 1}},
		{"nothing to divide by", []float64{1, 4}, []float64{0, 2}, summary{2.5, 1, 2, 2, 2, 2}},
	} {
		if got := summarize(tc.a, tc.b); got != tc.want {
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
	s := summary{A: 600, B: 2000, Ratio: 0.3, Rounds: 5}
	for _, tc := range []struct {
		f    figure
		goal string
		met  bool
	}{
		{figure{limit: 0.3}, "a/b ≤ 0.3", true},
		{figure{limit: 0.29}, "a/b ≤ 0.29", false},
		{figure{limit: 0.3, atLeast: true}, "a/b ≥ 0.3", true},
		{figure{limit: 0.95, atLeast: true}, "a/b ≥ 0.95", false},
		{figure{limit: 700, absolute: true}, "a ≤ 700", true},
		{figure{limit: 500, absolute: true}, "a ≤ 500", false},
	} {
		if got := tc.f.goal(); got != tc.goal {
			t.Errorf("goal %q, want %q", got, tc.goal)
		}
		if got := tc.f.met(s); got != tc.met {
			t.Errorf("%s: met %v", tc.goal, got)
		}
	}
}

func TestVerdict(t *testing.T) {
	goal := figure{metric: cpuPerRequest, limit: 0.75}
	whole, part := summary{Ratio: 0.7, Rounds: 5}, summary{Ratio: 0.8, Rounds: 2}
	wrong := errors.New("refused: esca answers wrongly")
	for _, tc := range []struct {
		name string
		o    outcome
		f    figure
		s    summary
		want string
	}{
		{"met", outcome{}, goal, whole, "met"},
		{"missed", outcome{}, goal, summary{Ratio: 0.8, Rounds: 5}, "missed"},
		{"no goal", outcome{}, figure{metric: cpuPerRequest}, whole, "-"},
		{"interrupted half-way", outcome{err: context.Canceled}, goal, part, "missed, interrupted"},
		{"interrupted before", outcome{err: fmt.Errorf("wrk: %w", context.Canceled)}, goal, summary{}, "interrupted"},
		{"refused", outcome{err: wrong}, goal, summary{}, wrong.Error()},
		// Figures of a server that turned out to answer wrongly are no figures.
		{"refused at the end", outcome{err: wrong}, goal, whole, wrong.Error()},
		{"errors", outcome{samples: []sample{{}, {Results: []result{{Errors: 1}}}}}, goal, whole, "met, errors"},
	} {
		if got := tc.o.verdict(tc.f, tc.s, 5); got != tc.want {
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
	for _, c := range suite(testFiles()) {
		if seen[c.name] {
			t.Errorf("%s twice", c.name)
		}
		seen[c.name] = true
		if len(c.figures) == 0 || len(c.loads) == 0 {
			t.Errorf("%s has no figure or no load", c.name)
		}
		for _, l := range c.loads {
			if len(l.body) == 0 {
				t.Errorf("%s: no right answer to GET %s", c.name, l.path)
			}
		}
	}
}
