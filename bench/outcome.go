//go:build linux

package main

import (
	"cmp"
	"errors"
	"slices"
)

// outcome is what came of a comparison, as it is written to the JSON file and
// shown in table, report and charts.
type outcome struct {
	Name        string    `json:"name"`
	Family      string    `json:"family,omitempty"`
	X           float64   `json:"x,omitempty"`
	Conditions  string    `json:"conditions"`
	Placement   placement `json:"placement"`
	Metric      string    `json:"metric"`           // what the ratios are of
	Loads       int       `json:"loads"`            // at once
	Starts      int       `json:"starts"`           // of every server, that were asked for
	Rounds      int       `json:"rounds"`           // after all of them together
	Wholes      int       `json:"wholes"`           // of the starts, that a run without a pause came after
	Steady      bool      `json:"steady,omitempty"` // all rounds are runs without a pause, and there are no others
	Driven      string    `json:"driven,omitempty"` // how long every side was, in a round
	Turn        string    `json:"turn,omitempty"`   // in turns of this
	Goals       []goal    `json:"goals,omitempty"`
	Sides       []side    `json:"sides"` // the first is the reference
	Interrupted bool      `json:"interrupted,omitempty"`
	Rows        []row     `json:"figures,omitempty"` // made of Runs
	Runs        []sample  `json:"runs"`
}

// side is one of the servers of a comparison.
type side struct {
	Server  string  `json:"server"`
	Command string  `json:"command,omitempty"`
	Threads int     `json:"threads,omitempty"` // that serve at once
	Problem problem `json:"problem,omitzero"`  // why there are no figures
}

// problem is why a server has no figures.
type problem struct {
	Kind string `json:"kind,omitempty"` // missing, failed, wrong
	Why  string `json:"why,omitempty"`
}

const (
	missing = "missing" // it is not installed, or this machine cannot run it
	failed  = "failed"  // it does not build, start or keep running
	wrong   = "wrong"   // it does not answer right, or not as the reference does
)

func problemOf(err error) problem {
	p := problem{failed, err.Error()}
	var not missingError
	var refused wrongError
	switch {
	case errors.As(err, &not):
		p.Kind = missing
	case errors.As(err, &refused):
		p.Kind = wrong
	}
	return p
}

func (p problem) String() string { return p.Kind + ": " + p.Why }

// row is what is shown of one server in a comparison.
type row struct {
	Server       string    `json:"server"`
	Primary      summary   `json:"primary"`       // of the outcome's Metric, the reference beside this server: Value is the reference's
	Value        float64   `json:"value"`         // of the outcome's Metric, this server's median
	RPS          []float64 `json:"rps,omitempty"` // by load, medians as all that follows
	P50          []float64 `json:"p50_ms,omitempty"`
	P90          []float64 `json:"p90_ms,omitempty"`
	P99          []float64 `json:"p99_ms,omitempty"`
	P999         []float64 `json:"p999_ms,omitempty"`
	Late         []float64 `json:"late_ms,omitempty"`       // goroutines that handlers started: the median, the 90th percentile, the most
	Crossings    float64   `json:"crossings,omitempty"`     // a request, counted by the kernel
	OwnCrossings float64   `json:"own_crossings,omitempty"` // a request, counted by the server
	RestMiB      float64   `json:"rest_mib"`
	Errors       int64     `json:"errors"`
	Others       float64   `json:"others"`
	Verdicts     []string  `json:"verdicts,omitempty"` // on the goals that are about it
}

// reference is the server that the ratios are of.
func (o *outcome) reference() string { return o.Sides[0].Server }

// row is a server's row, or nil.
func (o *outcome) row(server string) *row {
	for i := range o.Rows {
		if o.Rows[i].Server == server {
			return &o.Rows[i]
		}
	}
	return nil
}

// begun says whether anything has come of it yet.
func (o *outcome) begun() bool {
	return len(o.Runs) > 0 || slices.ContainsFunc(o.Sides, func(s side) bool { return s.Problem != problem{} })
}

// usable says whether a server's runs count: not if it has failed since, or
// turned out to answer wrongly.
func (o *outcome) usable(server string) bool {
	for _, s := range o.Sides {
		if s.Server == server {
			return s.Problem == problem{}
		}
	}
	return false
}

// timed is the values of a metric by round, for one server.
func (o *outcome) timed(server string, m metric) map[int]float64 {
	byRound := map[int]float64{}
	for _, s := range o.Runs {
		if s.Server == server && s.Round > 0 && (o.Steady || s.Whole == m.whole) {
			byRound[s.Round] = m.value(s)
		}
	}
	return byRound
}

// beside sets one server beside another, in the rounds in which both were measured.
func (o *outcome) beside(a, b string, m metric) summary {
	if !o.usable(a) || !o.usable(b) {
		return summary{}
	}
	va, vb := o.timed(a, m), o.timed(b, m)
	perStart := 1
	if (o.Steady || !m.whole) && o.Starts > 0 {
		perStart = max(1, o.Rounds/o.Starts)
	}
	var both []pair
	for round := 1; round <= o.Rounds; round++ {
		x, inA := va[round]
		y, inB := vb[round]
		if inA && inB {
			both = append(both, pair{x, y, (round - 1) / perStart})
		}
	}
	return summarize(both)
}

// counted is a metric of the run that counts kernel crossings.
func (o *outcome) counted(server string, m metric) float64 {
	for _, s := range o.Runs {
		if s.Server == server && s.Round == 0 {
			return m.value(s)
		}
	}
	return 0
}

// metricNamed finds the metric that a goal or an outcome names.
func metricNamed(name string) metric {
	i := slices.IndexFunc(goalMetrics, func(m metric) bool { return m.name == name })
	if i < 0 {
		return metric{name: name, value: func(sample) float64 { return 0 }}
	}
	return goalMetrics[i]
}

// summarize makes the rows of what was run so far.
func (o *outcome) summarize() {
	o.Rows = nil
	m := metricNamed(o.Metric)
	for _, s := range o.Sides {
		primary := o.beside(o.reference(), s.Server, m)
		if primary.Rounds == 0 {
			continue
		}
		own := func(m metric) float64 { return o.beside(s.Server, s.Server, m).Value }
		r := row{
			Server: s.Server, Primary: primary, Value: own(m),
			Crossings: o.counted(s.Server, crossings), OwnCrossings: o.counted(s.Server, ownCrossings),
			RestMiB: own(restMemory), Others: own(busyOthers),
		}
		for load := range o.Loads {
			if o.beside(s.Server, s.Server, throughput(load)).Rounds == 0 {
				break // interrupted before a run without a pause
			}
			r.RPS = append(r.RPS, own(throughput(load)))
			r.P50 = append(r.P50, own(p50(load)))
			r.P90 = append(r.P90, own(p90(load)))
			r.P99 = append(r.P99, own(p99(load)))
			r.P999 = append(r.P999, own(p999(load)))
		}
		for _, m := range []metric{lateP50, lateP90, lateMost} {
			if v := own(m); v > 0 {
				r.Late = append(r.Late, v)
			}
		}
		for _, run := range o.Runs {
			if run.Server == s.Server {
				r.Errors += run.errors()
			}
		}
		r.Verdicts = o.verdicts(s.Server)
		o.Rows = append(o.Rows, r)
	}
}

// verdicts judges the goals that are about the reference beside this server,
// or about the reference alone if this is it, and those about this server.
func (o *outcome) verdicts(server string) (all []string) {
	for _, g := range o.Goals {
		of := cmp.Or(g.Of, o.reference())
		against := cmp.Or(g.Against, of)
		if cmp.Or(g.Of, against) != server {
			continue
		}
		m := metricNamed(g.Metric)
		s := o.beside(of, against, m)
		verdict := "missed"
		switch {
		case s.Rounds == 0:
			verdict = "not measured"
		case g.met(s):
			verdict = "met"
		}
		asked := o.Rounds
		if m.whole && !o.Steady {
			asked = o.Wholes
		}
		if s.Rounds < asked {
			verdict += ", interrupted"
		}
		all = append(all, g.String()+": "+verdict)
	}
	return all
}
