//go:build linux

package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// drawn is what a chart of this kind looks like, with two servers of which one has a
// long name, and rounds that differ.
func drawn(t *testing.T, k chartKind) string {
	t.Helper()
	var of []*outcome
	for _, x := range []float64{1, 8, 50, 256, 10_000} {
		o := &outcome{Family: k.family, X: x, Metric: cpuPerRequest.name, Loads: 1, Rounds: 4, Starts: 1, Steady: true}
		for i, name := range []string{"esca", "a server whose name is as long as any <&>"} {
			o.Sides = append(o.Sides, side{Server: name})
			for round := range 4 {
				o.Runs = append(o.Runs, sample{Server: name, Round: round + 1, CPU: time.Duration(i+round+1) * time.Second,
					Results: []result{{Requests: int64(100_000 * (round + 1)), Elapsed: time.Second}}})
			}
		}
		o.summarize()
		of = append(of, o)
	}
	svg, err := k.lines(of)
	if err != nil {
		t.Fatal(err)
	}
	return string(svg)
}

// Nothing that is drawn leaves the picture, wherever a browser's font is a tenth wider; it
// has a title, a name for each line, and says what the bars are.
func TestChartsStayWithinTheirFrame(t *testing.T) {
	number := `(-?[\d.]+)`
	line := regexp.MustCompile(`[ML]` + number + `,` + number)
	text := regexp.MustCompile(`(?s)<text x="` + number + `" y="` + number + `"([^>]*)>([^<]*)</text>`)
	for _, k := range chartKinds {
		svg := drawn(t, k)
		of := func(s string) float64 {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		for _, m := range line.FindAllStringSubmatch(svg, -1) {
			if x, y := of(m[1]), of(m[2]); x < 0 || x > chartWidth || y < 0 || y > chartHeight {
				t.Errorf("%s: a line leads to %v, %v", k.title, x, y)
			}
		}
		texts := 0
		for _, m := range text.FindAllStringSubmatch(svg, -1) {
			texts++
			if strings.Contains(m[3], "rotate") {
				continue
			}
			size := of(regexp.MustCompile(`font-size:` + number).FindStringSubmatch(m[3])[1])
			plain := strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(m[4])
			width := 0.0
			for range plain {
				width += size * 0.5 // what a letter of Liberation Sans takes, more or less
			}
			if x := of(m[1]); x < 0 || x+width*1.1 > chartWidth {
				t.Errorf("%s: %q begins at %v and ends at %v", k.title, plain, x, x+width)
			}
		}
		for _, want := range []string{k.title, "bars: ", "a server whose name"} {
			if !strings.Contains(svg, want) && !strings.Contains(svg, strings.ReplaceAll(want, "'", "&#39;")) {
				t.Errorf("%s: it does not say %q, in %d texts", k.title, want, texts)
			}
		}
	}
}

// The bars are of the rounds: those of a server that has always been the same are nothing.
func TestUncertainty(t *testing.T) {
	o := &outcome{Metric: cpuPerRequest.name, Loads: 1, Rounds: 4, Steady: true, Sides: []side{{Server: "a"}, {Server: "b"}}}
	for round, cpu := range []time.Duration{1, 2, 3, 4} {
		o.Runs = append(o.Runs,
			sample{Server: "a", Round: round + 1, CPU: cpu * time.Second, Results: []result{{Requests: 1_000_000, Elapsed: time.Second}}},
			sample{Server: "b", Round: round + 1, CPU: time.Second, Results: []result{{Requests: 1_000_000, Elapsed: time.Second}}})
	}
	for server, want := range map[string]string{"a": "1.291", "b": "0.000"} { // 2·√(5/3)/√4
		if got := fmt.Sprintf("%.3f", cpu.uncertainty(o, server)); got != want {
			t.Errorf("of %s: %s, want %s", server, got, want)
		}
	}
}
