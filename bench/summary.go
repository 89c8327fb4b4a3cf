//go:build linux

package main

import "slices"

// summary is what the rounds of a comparison say about one metric.
type summary struct {
	A      float64 `json:"a"` // median over the rounds
	B      float64 `json:"b"`
	Ratio  float64 `json:"ratio"` // median of the rounds' a/b, never a ratio of medians
	Low    float64 `json:"low"`   // their range
	High   float64 `json:"high"`
	Rounds int     `json:"rounds"`
}

// summarize takes pairs: a[i] and b[i] were measured one after the other. A
// round that lacks its partner does not count.
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
	s := summary{A: median(a[:n]), B: median(b[:n]), Rounds: n}
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
