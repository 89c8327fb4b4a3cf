//go:build linux

package main

import "slices"

// summary is what the rounds of a comparison say about one metric of one
// server, beside another.
type summary struct {
	Value  float64 `json:"value"`  // median over the rounds
	Least  float64 `json:"least"`  // their range
	Most   float64 `json:"most"`   //
	Ratio  float64 `json:"ratio"`  // of it to the other: median of the rounds' ratios, never a ratio of medians
	Low    float64 `json:"low"`    // their range
	High   float64 `json:"high"`   //
	Rounds int     `json:"rounds"` // in which both were measured
}

// summarize takes what was measured in the same rounds: a[i] and b[i] one soon
// after the other. A round that lacks its partner does not count.
func summarize(a, b []float64) summary {
	n := min(len(a), len(b))
	if n == 0 {
		return summary{}
	}
	ratios := make([]float64, 0, n)
	for i := range n {
		if b[i] != 0 {
			ratios = append(ratios, a[i]/b[i])
		}
	}
	s := summary{Value: median(a[:n]), Least: slices.Min(a[:n]), Most: slices.Max(a[:n]), Rounds: n}
	if len(ratios) > 0 {
		s.Ratio, s.Low, s.High = median(ratios), slices.Min(ratios), slices.Max(ratios)
	}
	return s
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	if n == 0 {
		return 0
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}
