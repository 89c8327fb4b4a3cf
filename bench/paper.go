//go:build linux

package main

import (
	"fmt"

	"gonum.org/v1/plot/plotter"
)

// paper is what remakes section V of the ESCA paper that staticFiles does not.
func (b *suiteBuilder) paper() {
	// Figures 5 to 7: time in the main loop over concurrency.
	for _, conns := range []int{10, 20, 50, 100, 150, 200} {
		b.add(comparison{name: fmt.Sprintf("loop/pinned/c%d", conns), family: "loop/pinned", x: float64(conns),
			sides: b.both(escahttp), placement: pinned, loads: b.file(1, conns)})
	}
	// Figure 14: throughput over batch degree.
	for _, degree := range []int{1, 4, 8, 16, 32, 50, 64, 128} {
		b.add(comparison{name: fmt.Sprintf("degree/pinned/d%d", degree), family: "degree/pinned", x: float64(degree),
			sides: b.both(esca), placement: pinned, loops: 1, degree: degree, loads: hello(degreeConns)})
	}
}

// degreeConns is the concurrency, and so the convergence point, of the figure
// over batch degree: beyond it there is nothing more to batch.
const degreeConns = 50

// degreeModel is the paper's model of throughput over batch degree, through what
// was measured at the convergence point: proportional below it, level beyond.
func degreeModel(measured plotter.XYs) plotter.XYs {
	last := len(measured) - 1
	if last < 0 {
		return nil
	}
	top := measured[last].Y
	for _, p := range measured {
		if p.X >= degreeConns {
			top = p.Y
			break
		}
	}
	return plotter.XYs{{X: 0, Y: 0}, {X: degreeConns, Y: top}, {X: measured[last].X, Y: top}}
}
