//go:build linux

package main

import (
	"math"
	"slices"
)

// summary is what the rounds of a comparison say about one metric of one
// server, beside another.
type summary struct {
	Value  float64 `json:"value"`           // median over the rounds
	Least  float64 `json:"least"`           // their range
	Most   float64 `json:"most"`            //
	Ratio  float64 `json:"ratio"`           // of it to the other: the geometric mean of the rounds' ratios
	Error  float64 `json:"error,omitempty"` // its standard error, as a part of it: by the rounds, or by the starts if that is more
	Low    float64 `json:"low"`             // the range of the rounds' ratios
	High   float64 `json:"high"`            //
	Rounds int     `json:"rounds"`          // in which both were measured
}

// pair is what was measured of two servers in the same round.
type pair struct {
	a, b  float64
	start int // of the processes, after which the round came
}

// summarize takes the rounds in which both servers were measured. The mean of
// the ratios and not their median: which loop has which connection is decided
// once a round, a server then has two or three speeds, and a median jumps
// between them. Outliers, against which a median helps, are seldom, as turns
// give every side its part of them.
func summarize(pairs []pair) summary {
	var a, logs, means []float64
	starts := map[int][]float64{}
	for _, p := range pairs {
		a = append(a, p.a)
		if p.a > 0 && p.b > 0 {
			l := math.Log(p.a / p.b)
			logs = append(logs, l)
			starts[p.start] = append(starts[p.start], l)
		}
	}
	if len(a) == 0 {
		return summary{}
	}
	s := summary{Value: median(a), Least: slices.Min(a), Most: slices.Max(a), Rounds: len(a)}
	if len(logs) == 0 {
		return s
	}
	s.Ratio, s.Low, s.High = math.Exp(mean(logs)), math.Exp(slices.Min(logs)), math.Exp(slices.Max(logs))
	for _, l := range starts {
		means = append(means, mean(l))
	}
	s.Error = max(standardError(logs), standardError(means))
	return s
}

func mean(v []float64) (sum float64) {
	for _, x := range v {
		sum += x / float64(len(v))
	}
	return sum
}

// standardError is that of v's mean; 0 if there is no telling.
func standardError(v []float64) float64 {
	if len(v) < 2 {
		return 0
	}
	m, sum, n := mean(v), 0.0, float64(len(v))
	for _, x := range v {
		sum += (x - m) * (x - m)
	}
	return math.Sqrt(sum / (n - 1) / n)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	if n == 0 {
		return 0
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}
