//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

// usable says whether there is a figure to show. What was measured before an
// interrupt counts; what was measured of a server that failed or turned out to
// answer wrongly does not.
func (o outcome) usable(s summary) bool {
	return s.Rounds > 0 && (o.err == nil || errors.Is(o.err, context.Canceled))
}

// verdict is what a row says about its goal.
func (o outcome) verdict(f figure, s summary, rounds int) string {
	var notes string
	for _, sample := range o.samples {
		if sample.errors() > 0 {
			notes = ", errors"
		}
	}
	switch {
	case !o.usable(s) && errors.Is(o.err, context.Canceled):
		return "interrupted"
	case !o.usable(s):
		return o.err.Error()
	case s.Rounds < rounds:
		notes += ", interrupted"
	}
	switch {
	case f.limit == 0:
		return "-" + notes
	case f.met(s):
		return "met" + notes
	}
	return "missed" + notes
}

// printTable is the report for a terminal.
func printTable(w io.Writer, m machine, outcomes []outcome, rounds int) {
	fmt.Fprintf(w, "\n%s\n\n", m)
	defer fmt.Fprintln(w, "\nothers: processors that something else kept busy meanwhile; measure again if it is not near 0.")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintln(t, "comparison\ta / b\tfigure\ta\tb\ta/b (range)\tgoal\tverdict\trps\tp99 ms\tcrossings\terrors\tothers")
	for _, o := range outcomes {
		for i, f := range o.figures {
			s := o.summary(f.metric)
			fmt.Fprintf(t, "%s\t%s / %s\t", o.name, o.a.name, o.b.name)
			if !o.usable(s) {
				// Not ended by a tab, it does not widen its column.
				fmt.Fprintf(t, "no figure: %s\n", o.verdict(f, s, rounds))
				break
			}
			fmt.Fprintf(t, "%s\t%.4g\t%.4g\t%.3f (%.3f-%.3f)\t%s\t%s", f.metric.name, s.A, s.B, s.Ratio, s.Low, s.High, f.goal(), o.verdict(f, s, rounds))
			if i == 0 {
				o.printSides(t)
			}
			fmt.Fprintln(t)
		}
	}
}

// printSides prints, for each side, what is beside the figure.
func (o outcome) printSides(w io.Writer) {
	if o.idle > 0 {
		return
	}
	rps, lat := o.summary(throughput), o.summary(p99(0))
	fmt.Fprintf(w, "\t%.0f / %.0f\t%.2f / %.2f", rps.A, rps.B, lat.A, lat.B)
	if a, b := o.side("a", true), o.side("b", true); len(a) > 0 && len(b) > 0 {
		fmt.Fprintf(w, "\t%.2f / %.2f", crossings.value(a[0]), crossings.value(b[0]))
	} else {
		fmt.Fprint(w, "\t")
	}
	var errs [2]int64
	for _, s := range o.samples {
		errs[s.Side[0]-'a'] += s.errors()
	}
	others := o.summary(busyOthers)
	fmt.Fprintf(w, "\t%d / %d\t%.2f / %.2f", errs[0], errs[1], others.A, others.B)
}

type jsonFigure struct {
	Name    string  `json:"name"`
	Summary summary `json:"summary"`
	Goal    string  `json:"goal"`
	Verdict string  `json:"verdict"`
}

type jsonComparison struct {
	Name      string       `json:"name"`
	A         string       `json:"a"`
	B         string       `json:"b"`
	Placement placement    `json:"placement"`
	Figures   []jsonFigure `json:"figures"`
}

// writeJSON writes every single run, and what was made of them.
func writeJSON(path string, m machine, outcomes []outcome, rounds int) error {
	doc := struct {
		Machine     machine          `json:"machine"`
		Comparisons []jsonComparison `json:"comparisons"`
		Runs        []sample         `json:"runs"`
	}{Machine: m}
	for _, o := range outcomes {
		c := jsonComparison{Name: o.name, A: o.a.name, B: o.b.name, Placement: o.placement}
		for _, f := range o.figures {
			s := o.summary(f.metric)
			c.Figures = append(c.Figures, jsonFigure{f.metric.name, s, f.goal(), o.verdict(f, s, rounds)})
		}
		doc.Comparisons = append(doc.Comparisons, c)
		doc.Runs = append(doc.Runs, o.samples...)
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
