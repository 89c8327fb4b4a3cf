//go:build linux

package main

import (
	"bytes"
	"cmp"
	"html/template"
	"image/color"
	"maps"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// chart is one picture of the report, and a file of its own.
type chart struct {
	Title      string
	Conditions string // of all that is in it
	Beside     string // the paper's figure, with its conditions; may be empty
	File       string
	SVG        template.HTML
}

// chartKind is what the comparisons of a family are drawn as.
type chartKind struct {
	family, title, x, y string
	figure
	log    bool // the x axis
	beside string
	model  func(plotter.XYs) plotter.XYs // what is expected of the reference; may be nil
}

// figure is a number of a row that is drawn, and the metrics of which it is the sum.
type figure struct {
	value func(row) float64
	sums  func(*outcome) []metric
	unit  float64 // of value, in the metrics'
}

var (
	cpu = figure{cpuOf, func(o *outcome) []metric { return []metric{metricNamed(o.Metric)} }, 1}
	rps = figure{rpsOf, func(o *outcome) (all []metric) {
		for load := range o.Loads {
			all = append(all, throughput(load))
		}
		return all
	}, 1000}
)

func cpuOf(r row) float64 { return r.Value }

func rpsOf(r row) float64 {
	sum := 0.0
	for _, v := range r.RPS {
		sum += v
	}
	return sum / 1000
}

// uncertainty is twice the standard error of a server's figure, by its rounds.
func (f figure) uncertainty(o *outcome, server string) float64 {
	squares := 0.0
	for _, m := range f.sums(o) {
		e := standardError(slices.Collect(maps.Values(o.timed(server, m))))
		squares += e * e
	}
	return 2 * math.Sqrt(squares) / f.unit
}

const (
	paperMachine = "ESCA paper: Graviton2, 2 cores, 1 GiB, Linux 5.11, wrk with 2 threads and 50 connections. "
	cpuAxis      = "CPU of the server (µs a request)"
	rpsAxis      = "throughput (1,000 requests/s)"
	connsAxis    = "connections"
)

var chartKinds = []chartKind{
	{"hello/free", "Hello world: cost over concurrency", connsAxis, cpuAxis, cpu, true, "", nil},
	{"hello/free", "Hello world: throughput over concurrency", connsAxis, rpsAxis, rps, true, "", nil},
	{"files/pinned", "Static files: throughput over payload size (the paper's figures 8 to 13)", "payload (KiB)", rpsAxis, rps, true,
		paperMachine + "Small payloads: nginx 38-46 k requests/s, best +12 %, average +7 %; lighttpd 55-85 k, best +23 %, average +8 %; Mongoose 5-28 k, best +22 %, average +13 %. Large (100-200 KiB): no gain, Mongoose best +62 %.", nil},
	{"files/pinned", "Static files: cost over payload size", "payload (KiB)", cpuAxis, cpu, true, "", nil},
	{"loop/pinned", "Time in the main loop over concurrency (the paper's figures 5 to 7)", connsAxis, "CPU of the loop (µs a request)", cpu, false,
		paperMachine + "Less time in the main loop with ESCA from about 20 connections on (nginx, lighttpd), from 10 to 200 (Mongoose).", nil},
	{"degree/pinned", "Throughput over batch degree (the paper's figure 14)", "calls a flush, at most", rpsAxis, rps, false,
		paperMachine + "nginx, 20 connections: T = αD below the convergence point C = 38, αC beyond; measured 42-49 k requests/s over D = 0-60.", degreeModel},
	{"echo/free/c50", "gnet echo: cost over message size, 50 connections", "message (bytes)", "CPU of the server (µs a message)", cpu, true, "", nil},
	{"echo/free/c1000", "gnet echo: cost over message size, 1,000 connections", "message (bytes)", "CPU of the server (µs a message)", cpu, true, "", nil},
	{"echo/free/c4000", "gnet echo: cost over message size, 4,000 connections", "message (bytes)", "CPU of the server (µs a message)", cpu, true, "", nil},
}

func init() {
	plot.DefaultFont.Variant = "Sans"
	plotter.DefaultFont.Variant = "Sans"
}

// charts draws every family of which something was measured in two places.
func (rep *report) charts() (all []chart, err error) {
	for _, k := range chartKinds {
		var of []*outcome
		for _, o := range rep.Outcomes {
			if o.Family == k.family && slices.ContainsFunc(o.Rows, func(r row) bool { return k.value(r) > 0 }) {
				of = append(of, o)
			}
		}
		slices.SortFunc(of, func(a, b *outcome) int { return cmp.Compare(a.X, b.X) })
		if len(of) == 0 || of[0].X == of[len(of)-1].X {
			continue // one point is no line
		}
		svg, err := k.lines(of)
		if err != nil {
			return nil, err
		}
		all = append(all, chart{Title: k.title, Conditions: rep.Machine.String() + ". " + commonConditions(of), Beside: k.beside, File: k.file(), SVG: svg})
	}
	return all, nil
}

func (k chartKind) file() string {
	name := k.family
	if strings.Contains(k.y, "throughput") {
		name += "-throughput"
	}
	return strings.ReplaceAll(name, "/", "-") + ".svg"
}

// commonConditions are those of the first, which is like the others but for x.
func commonConditions(of []*outcome) string {
	return "First point: " + of[0].Conditions + ". Last point: " + of[len(of)-1].Conditions + "."
}

// points are what was measured of one server, and how far it may be off.
type points struct {
	plotter.XYs
	plotter.YErrors
}

// Sizes of a chart, in points. What is drawn stays within it.
const (
	chartWidth, chartHeight = 800, 420
	chartMargin             = 14
	legendGap               = 14
)

// lines draws a line for each server, and its name beside the plot.
func (k chartKind) lines(of []*outcome) (template.HTML, error) {
	p, legend := plot.New(), plot.NewLegend()
	p.Title.Text, p.Title.Padding, p.Title.TextStyle.Font.Size = k.title, vg.Points(10), vg.Points(15)
	p.X.Label.Text, p.Y.Label.Text = k.x, k.y
	p.X.Label.Padding, p.Y.Label.Padding = vg.Points(6), vg.Points(6)
	legend.Top, legend.Left, legend.Padding = true, true, vg.Points(4)
	p.Add(plotter.NewGrid())
	if k.log {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, ticksAt(of)
	}
	byServer := map[string]*points{}
	var order []string
	for _, o := range of {
		for _, r := range o.Rows {
			y := k.value(r)
			if y == 0 {
				continue // not measured
			}
			if byServer[r.Server] == nil {
				order = append(order, r.Server)
				byServer[r.Server] = new(points)
			}
			at, off := byServer[r.Server], k.uncertainty(o, r.Server)
			at.XYs = append(at.XYs, plotter.XY{X: o.X, Y: y})
			at.YErrors = append(at.YErrors, struct{ Low, High float64 }{min(off, y), off})
		}
	}
	for i, name := range order {
		line, marks, err := plotter.NewLinePoints(byServer[name].XYs)
		if err != nil {
			return "", err
		}
		bars, err := plotter.NewYErrorBars(byServer[name])
		if err != nil {
			return "", err
		}
		line.Color, marks.Color, marks.Shape, bars.Color = plotutil.Color(i), plotutil.Color(i), plotutil.Shape(i), plotutil.Color(i)
		if again := i / len(plotutil.DefaultColors); again > 0 { // a colour that a line above has
			line.Dashes = plotutil.Dashes(again)
		}
		line.Width = vg.Points(1.5)
		p.Add(line, bars, marks)
		legend.Add(name, line, marks)
	}
	if k.model != nil {
		line, err := plotter.NewLine(k.model(byServer[of[0].reference()].XYs))
		if err != nil {
			return "", err
		}
		line.Dashes = plotutil.Dashes(1)
		p.Add(line)
		order = append(order, "T = αD")
		legend.Add("T = αD", line)
	}
	const bars = "bars: ± 2 standard errors"
	order = append(order, bars)
	legend.Add(bars)
	k.makeRoom(p)
	canvas := vgsvg.New(vg.Points(chartWidth), vg.Points(chartHeight))
	all := draw.New(canvas)
	// A page of its own, so to say: readable on a dark one as on a light one.
	all.FillPolygon(color.White, []vg.Point{all.Min, {X: all.Max.X, Y: all.Min.Y}, all.Max, {X: all.Min.X, Y: all.Max.Y}})
	inner := draw.Crop(all, vg.Points(chartMargin), -vg.Points(chartMargin), vg.Points(chartMargin), -vg.Points(chartMargin))
	names := legendWidth(legend, order)
	p.Draw(draw.Crop(inner, 0, -names-vg.Points(legendGap), 0, 0))
	legend.Draw(draw.Crop(inner, inner.Max.X-inner.Min.X-names, 0, 0, -vg.Points(30)))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", err
	}
	// Within HTML, an XML declaration has no place.
	_, svg, ok := strings.Cut(b.String(), "<svg")
	if !ok {
		return "", nil
	}
	// Where Liberation is not installed, Arial and Helvetica are as wide.
	svg = strings.ReplaceAll(svg, "font-family:Liberation Sans", "font-family:'Liberation Sans',Arial,Helvetica,sans-serif")
	return template.HTML(`<svg role="img" aria-label="` + template.HTMLEscapeString(k.title) + `"` + svg), nil
}

// makeRoom widens the axes, so that the largest value, its bar and the marks at the
// edges are within the frame.
func (k chartKind) makeRoom(p *plot.Plot) {
	p.Y.Min, p.Y.Max = 0, p.Y.Max*1.08
	if k.log {
		wider := math.Pow(p.X.Max/p.X.Min, 0.03)
		p.X.Min, p.X.Max = p.X.Min/wider, p.X.Max*wider
		return
	}
	wider := (p.X.Max - p.X.Min) * 0.03
	p.X.Min, p.X.Max = p.X.Min-wider, p.X.Max+wider
}

// legendWidth is what the names and what is before them take, and a sixth more, as the
// browser may have another font.
func legendWidth(l plot.Legend, names []string) vg.Length {
	var widest vg.Length
	for _, name := range names {
		widest = max(widest, l.TextStyle.Width(name))
	}
	return l.ThumbnailWidth + l.TextStyle.Width("  ") + widest*7/6
}

// ticksAt marks the places where something was measured.
func ticksAt(of []*outcome) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, o := range of {
		ticks = append(ticks, plot.Tick{Value: o.X, Label: plainNumber(o.X)})
	}
	return ticks
}

func plainNumber(x float64) string {
	switch n := int(x); {
	case n >= 1<<20 && n%(1<<20) == 0:
		return byteSize(n)
	case n >= 1<<10 && n%(1<<10) == 0:
		return byteSize(n)
	default:
		return strings.TrimSuffix(byteSize(n), " B")
	}
}
