//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// resultsFile is where the last results of every load stand, in the project.
const resultsFile = "bench/RESULTS.md"

// resultsHead begins the file, where there is none yet.
const resultsHead = `# Results

What bench has measured last, load by load, each with its date, machine and conditions. bench writes this file: a run replaces
the parts of the loads that it has measured, and leaves the others, and what stands between them, as they are. A figure is
comparable with others of its own table only, where the sides took turns on one machine; the ratio is the first server's figure to
this one's, so below 1 the first is cheaper. "others" is how many processors something else kept busy meanwhile: the farther from
0, the less rates and latencies are worth.
`

// Lines that begin and end a part of the file.
func partBegin(name string) string { return "<!-- bench " + name + " -->" }
func partEnd(name string) string   { return "<!-- end " + name + " -->" }

// resultsPath is the file that -results names, or, where it was not asked for, the
// project's.
func resultsPath(asked *string) (string, error) {
	if asked != nil {
		return *asked, nil
	}
	root, err := projectRoot()
	return filepath.Join(root, resultsFile), err
}

// writeResults brings the file up to date with what was measured whole. order is
// the names of all loads there are, as they come in the file.
func (rep *report) writeResults(path string, order []string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := string(old)
	if text == "" {
		text = resultsHead
	}
	for _, o := range rep.Outcomes {
		if len(o.Rows) == 0 || o.Interrupted {
			continue
		}
		if text, err = replacePart(text, o.Name, rep.part(o), order); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if text == string(old) {
		return nil
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// replacePart puts a load's part in the place of the one before, or, if there is
// none, before the first of those that come after it.
func replacePart(text, name, part string, order []string) (string, error) {
	part = partBegin(name) + "\n" + part + partEnd(name) + "\n"
	if begin := strings.Index(text, partBegin(name)+"\n"); begin >= 0 {
		length := strings.Index(text[begin:], partEnd(name)+"\n")
		if length < 0 {
			return "", fmt.Errorf("the part of %s has no end: %s", name, partEnd(name))
		}
		return text[:begin] + part + text[begin+length+len(partEnd(name))+1:], nil
	}
	for _, after := range order[slices.Index(order, name)+1:] {
		if at := strings.Index(text, partBegin(after)+"\n"); at >= 0 {
			return text[:at] + part + "\n" + text[at:], nil
		}
	}
	return strings.TrimRight(text, "\n") + "\n\n" + part, nil
}

// part is a load's heading, conditions and table.
func (rep *report) part(o *outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s.\n\n", o.Name, o.Conditions)
	m := rep.Machine
	rounds := fmt.Sprintf("%s after %s", plural(o.Rounds, "round"), plural(o.Starts, "start"))
	if o.Turn != "" {
		rounds += fmt.Sprintf(", each of %s for every side in turns of %s", o.Driven, o.Turn)
	}
	version := ""
	if m.Commit != "" {
		version = ", esca " + m.Commit
	}
	peers := ""
	if all := m.versions(o.Sides); len(all) > 0 {
		peers = "; " + strings.Join(all, ", ")
	}
	fmt.Fprintf(&b, "%s%s%s; %s, %s, Linux %s, %s, %s; %s; network: %s.\n\n", m.Started.UTC().Format("2006-01-02 15:04 UTC"), version, peers,
		m.CPU, plural(m.Processors, "processor"), m.Kernel, m.KPTI(), m.Go, rounds, m.Network)
	fmt.Fprintf(&b, "| server | threads | %s | ratio ± error (range) | requests/s | p50 / p90 / p99 / p99.9 ms | crossings a request | errors | others |\n", o.Metric)
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range o.Rows {
		fmt.Fprintf(&b, "| %s | %s | %.4g | %s | %s | %s | %s | %d | %.2f |\n", r.Server, o.ThreadsOf(r.Server), r.Value, r.Ratio(), each(r.RPS, "%.0f"),
			r.Latencies(), r.Counted(), r.Errors, r.Others)
	}
	if text := o.Unequal(); text != "" {
		b.WriteString("\n" + text + "\n")
	}
	for _, r := range o.Rows {
		for _, verdict := range r.Verdicts {
			fmt.Fprintf(&b, "\nGoal %s.\n", verdict)
		}
	}
	for _, s := range o.Sides {
		if s.Problem.Kind != "" {
			fmt.Fprintf(&b, "\nWithout %s, %s.\n", s.Server, s.Problem)
		}
	}
	return b.String()
}
