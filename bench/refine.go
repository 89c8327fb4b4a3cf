//go:build linux

package main

import (
	"context"
	"math"
	"slices"
	"time"
)

const (
	// fullRun is how long a full run takes, its refining included.
	fullRun = 59 * time.Minute
	// wellKnown is the standard error at which a ratio is known well enough:
	// of two runs then one in two thousand differs by more than 5 %.
	wellKnown = 0.01
	// mostStarts is how many times as often as asked for a server is started.
	mostStarts = 4
)

// refine spends the time until end on those comparisons whose ratios are known
// worst: again and again, the one in which a second does most for the ratios that
// another run would find the same gets one more start of all its servers, until
// the time is up or nothing is left to refine.
func (r *runner) refine(ctx context.Context, chosen []comparison, outcomes []*outcome, end time.Time) {
	for ctx.Err() == nil {
		best, most := -1, 0.0
		for i, o := range outcomes {
			cost := r.startCost(&chosen[i])
			if time.Now().Add(cost).After(end) || o.uncertainty() <= wellKnown || o.Starts >= mostStarts*r.startsOf(&chosen[i]) {
				continue
			}
			fewer := math.Sqrt(float64(o.Starts) / float64(o.Starts+1))
			if gain := (o.disagreements(1) - o.disagreements(fewer)) / cost.Seconds(); gain > most {
				best, most = i, gain
			}
		}
		if best < 0 {
			return
		}
		r.progress.again(outcomes[best].Name, outcomes[best].Starts+1, time.Until(end))
		if !r.startAgain(ctx, &chosen[best], outcomes[best]) {
			return
		}
	}
}

// startAgain adds the rounds of one more start to an outcome. A server that
// fails in it does not take away what was measured before, but ends the
// refining, as whatever is wrong with the machine may be worse by then; false
// says so. A wrong answer counts as ever.
func (r *runner) startAgain(ctx context.Context, c *comparison, out *outcome) bool {
	sides, runs := slices.Clone(out.Sides), len(out.Runs)
	out.Starts++
	out.Rounds += r.roundsOf(c)
	r.compare(ctx, c, out, out.Starts-1)
	good := true
	for i, s := range out.Sides {
		if s.Problem.Kind == failed && sides[i].Problem.Kind != failed {
			good = false
		}
	}
	if !good {
		out.Sides, out.Runs = sides, out.Runs[:runs]
		out.Starts--
		out.Rounds -= r.roundsOf(c)
		out.summarize()
	}
	return good
}

// uncertainty is the largest standard error of the outcome's ratios of CPU.
func (o *outcome) uncertainty() (most float64) {
	if o.Metric != cpuPerRequest.name {
		return 0
	}
	for _, row := range o.Rows {
		most = max(most, row.Primary.Error)
	}
	return most
}

// disagreements is how many of the outcome's ratios of CPU are to be expected
// farther than maxDisagreement from those of another run, if its errors were a
// part of what they are and the other run's the same.
func (o *outcome) disagreements(part float64) (sum float64) {
	for _, row := range o.Rows {
		if row.Primary.Error > 0 {
			// The difference of the two has an error of √2 as much, and a
			// normal variable is z errors away with the chance erfc(z/√2).
			sum += math.Erfc(maxDisagreement / (2 * part * row.Primary.Error))
		}
	}
	return sum
}
