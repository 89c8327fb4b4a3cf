//go:build linux

package main

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
)

//go:embed report.html.tmpl
var reportHTML string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"join": strings.Join,
	"each": each,
}).Parse(reportHTML))

// paperRow is a line of the paper's section V, beside which ours stands.
type paperRow struct{ What, Paper, Here string }

// writeHTML writes a page that needs nothing but itself.
func (rep *report) writeHTML(w io.Writer, charts []chart) error {
	return reportTemplate.Execute(w, struct {
		*report
		Charts []chart
		Paper  []paperRow
	}{rep, charts, rep.paper()})
}

// paper is the paper's numbers beside this run's.
func (rep *report) paper() []paperRow {
	return []paperRow{
		{"mode switch, enter and exit", "800-1,000 cycles: 300-370 ns at 2.7 GHz, with the Meltdown mitigation", rep.Switch.String()},
		{"small files (1-40 KiB), best gain", "nginx +12 %, lighttpd +23 %, Mongoose +22 %", rep.aggregationGain(1, 40)},
		{"large files (100-200 KiB), best gain", "nginx and lighttpd none, Mongoose +62 %", rep.aggregationGain(100, 200)},
		{"batch degree", "nginx, 20 connections: 42-49 k requests/s over D = 0-60, C = 38", "see the chart over batch degree"},
	}
}

// aggregationGain is the most that the chosen backend gains over direct, in
// throughput and in CPU, over files of these sizes in KiB.
func (rep *report) aggregationGain(from, to float64) string {
	bestRPS, bestCPU, any := 0.0, 0.0, false
	for _, o := range rep.Outcomes {
		if o.Family != "files/pinned" || o.X < from || o.X > to {
			continue
		}
		rows := map[string]row{}
		for _, r := range o.Rows {
			rows[r.Server] = r
		}
		direct, ok := rows["escahttp on direct"]
		chosen, ok2 := rows[o.reference()]
		if !ok || !ok2 || direct.Server == chosen.Server || direct.Primary.Ratio == 0 {
			continue
		}
		any = true
		bestRPS = max(bestRPS, 100*(rpsOf(chosen)/rpsOf(direct)-1))
		bestCPU = max(bestCPU, 100*(1-direct.Primary.Ratio))
	}
	if !any {
		return "not measured: nothing aggregates here, or the files were left out"
	}
	return strings.Join([]string{each([]float64{bestRPS}, "best %+.0f %% throughput"), each([]float64{bestCPU}, "%+.0f %% CPU saved")}, ", ") + ", escahttp on its backend beside direct"
}
