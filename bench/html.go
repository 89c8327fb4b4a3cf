//go:build linux

package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/plotter"
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
		{"small files (1-40 KiB)", "nginx best +12 %, average +7 %; lighttpd +23 %, +8 %; Mongoose +22 %, +13 %", rep.aggregationGain("files/pinned", 1, 40)},
		{"large files (100-200 KiB)", "nginx and lighttpd none, Mongoose best +62 %", rep.aggregationGain("files/pinned", 100, 200)},
		{"time in the main loop", "less from about 20 connections on (nginx, lighttpd), from 10 to 200 (Mongoose)", rep.aggregationGain("loop/pinned", 1, 1000)},
		{"batch degree", "nginx, 20 connections: 42-49 k requests/s over D = 0-60, T = αD up to C = 38", rep.degreeGain()},
	}
}

// notMeasured is what stands where nothing aggregates, or -run left it out.
const notMeasured = "not measured"

// aggregationGain is what the chosen backend gains over direct, in throughput
// and in CPU, over the comparisons of a family with x in this range.
func (rep *report) aggregationGain(family string, from, to float64) string {
	var rps, cpu []float64
	for _, o := range rep.Outcomes {
		chosen, direct := o.row(o.reference()), o.row("escahttp on direct")
		if o.Family != family || o.X < from || o.X > to || chosen == nil || direct == nil || chosen == direct || rpsOf(*chosen) == 0 || rpsOf(*direct) == 0 {
			continue
		}
		rps = append(rps, 100*(rpsOf(*chosen)/rpsOf(*direct)-1))
		cpu = append(cpu, 100*(1-direct.Primary.Ratio))
	}
	if len(rps) == 0 {
		return notMeasured
	}
	return fmt.Sprintf("escahttp on its backend beside direct: throughput best %+.0f %%, average %+.0f %%; CPU saved best %.0f %%, average %.0f %%",
		slices.Max(rps), mean(rps), slices.Max(cpu), mean(cpu))
}

// degreeGain is the range of the figure over batch degree, and the model's α.
func (rep *report) degreeGain() string {
	var measured plotter.XYs
	least, most := math.Inf(1), 0.0
	for _, o := range rep.Outcomes {
		if r := o.row(o.reference()); o.Family == "degree/pinned" && r != nil {
			measured = append(measured, plotter.XY{X: o.X, Y: rpsOf(*r)})
			least, most = min(least, rpsOf(*r)), max(most, rpsOf(*r))
		}
	}
	if len(measured) == 0 {
		return notMeasured
	}
	slices.SortFunc(measured, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
	model := degreeModel(measured)
	return fmt.Sprintf("esca, %d connections: %.0f-%.0f k requests/s over D = %.0f-%.0f; α = %.2f k requests/s up to C = %d",
		degreeConns, least, most, measured[0].X, measured[len(measured)-1].X, model[1].Y/degreeConns, degreeConns)
}
