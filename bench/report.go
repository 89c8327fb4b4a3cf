//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// report is everything that came of a run of bench.
type report struct {
	Machine  machine    `json:"machine"`
	Switch   modeSwitch `json:"mode_switch"`
	Whole    string     `json:"whole"`           // how long a run without a pause was
	Guest    string     `json:"guest,omitempty"` // instructions counted in QEMU, as make test-vm-cost prints them
	Outcomes []*outcome `json:"comparisons"`
}

// write writes the report's files into dir, in which those of an earlier run are
// replaced.
func (rep *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "runs.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	charts, err := rep.charts()
	if err != nil {
		return err
	}
	for _, c := range charts {
		if err := os.WriteFile(filepath.Join(dir, c.File), []byte(c.SVG), 0o644); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, "report.html"))
	if err != nil {
		return err
	}
	defer f.Close()
	return rep.writeHTML(f, charts)
}

// printList prints comparisons and their goals.
func printList(w io.Writer, comparisons []comparison) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	for _, c := range comparisons {
		var names, goals []string
		for _, s := range c.sides {
			names = append(names, s.name)
		}
		for _, g := range c.goals {
			goals = append(goals, g.String())
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", c.name, strings.Join(names, ", "), strings.Join(goals, "; "))
	}
}

// printTable is the report for a terminal.
func printTable(w io.Writer, rep *report) {
	fmt.Fprintf(w, "\n%s\n%s\n", rep.Machine, rep.Switch)
	for _, o := range rep.Outcomes {
		fmt.Fprintf(w, "\n%s: %s\n", o.Name, o.Conditions)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(t, "  server\tthreads\t%s\t%s / this ±error (range)\trequests/s\tp50 / p90 / p99 / p99.9 ms\tcrossings\terrors\tothers\tgoals\n", o.Metric, o.Sides[0].Server)
		for _, r := range o.Rows {
			fmt.Fprintf(t, "  %s\t%s\t%.4g\t%s\t%s\t%s\t%s\t%d\t%.2f\t%s\n", r.Server, o.ThreadsOf(r.Server), r.Value, r.Ratio(), each(r.RPS, "%.0f"),
				r.Latencies(), r.Counted(), r.Errors, r.Others, strings.Join(r.Verdicts, "; "))
		}
		t.Flush()
		if text := o.Unequal(); text != "" {
			fmt.Fprintln(w, "  "+text)
		}
		for _, s := range o.Sides {
			if s.Problem != (problem{}) {
				fmt.Fprintf(w, "  %s: %s\n", s.Server, s.Problem)
			}
		}
	}
	fmt.Fprintln(w, "\nothers: processors that something else kept busy meanwhile; measure again if it is not near 0.")
}

// Ratio is the reference's figure to this server's, with its standard error and
// the range of the rounds.
func (r row) Ratio() string {
	p, margin := r.Primary, ""
	if p.Ratio*p.Error >= 0.0005 {
		margin = fmt.Sprintf(" ±%.3f", p.Ratio*p.Error)
	}
	return fmt.Sprintf("%.3f%s (%.3f-%.3f)", p.Ratio, margin, p.Low, p.High)
}

func (r row) Latencies() string {
	var all []string
	for i := range r.P50 {
		all = append(all, milliseconds(r.P50[i], r.P90[i], r.P99[i], r.P999[i]))
	}
	text := strings.Join(all, ", ")
	if len(r.Late) == 3 {
		text += fmt.Sprintf("; goroutines late by %.3f / %.3f / %.3f (p50 / p90 / max)", r.Late[0], r.Late[1], r.Late[2])
	}
	return text
}

// milliseconds are times of one set; what an earlier bench did not tell is a dash.
func milliseconds(times ...float64) string {
	var all []string
	for _, t := range times {
		if t == 0 {
			all = append(all, "-")
		} else {
			all = append(all, fmt.Sprintf("%.2f", t))
		}
	}
	return strings.Join(all, " / ")
}

// Counted is what the kernel counted a request, and what the server did.
func (r row) Counted() string {
	text := "-"
	if r.Crossings > 0 {
		text = fmt.Sprintf("%.2f", r.Crossings)
	}
	if r.OwnCrossings > 0 {
		text += fmt.Sprintf(" (own %.2f)", r.OwnCrossings)
	}
	return text
}

func each(values []float64, format string) string {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprintf(format, v))
	}
	return strings.Join(all, ", ")
}
