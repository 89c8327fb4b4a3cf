//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// maxDisagreement is how far a ratio may be from the same one of another run.
const maxDisagreement = 0.05

// agreement is a ratio of CPU per request, as two runs on one machine have it.
type agreement struct {
	Comparison, Server string
	First, Second      summary
}

// apart is by what part the larger of the ratios is above the smaller.
func (a agreement) apart() float64 {
	return math.Max(a.First.Ratio, a.Second.Ratio)/math.Min(a.First.Ratio, a.Second.Ratio) - 1
}

// readReport reads what an earlier run has left in dir.
func readReport(dir string) (*report, error) {
	text, err := os.ReadFile(filepath.Join(dir, "runs.json"))
	if err != nil {
		return nil, fmt.Errorf("no report of an earlier run: %w", err)
	}
	rep := new(report)
	if err := json.Unmarshal(text, rep); err != nil {
		return nil, fmt.Errorf("%s is not a report: %w", dir, err)
	}
	for _, o := range rep.Outcomes {
		if o.Wholes == 0 && o.Loads > 0 { // of a bench that had one after every start
			o.Wholes = o.Starts
		}
		o.summarize() // of both reports in the same way, whichever bench wrote them
	}
	return rep, nil
}

// agreements are the ratios that both reports have, the worst first. What only
// one of them has is named in missing.
func agreements(first, second *report) (all []agreement, missing []string) {
	type key struct{ comparison, server string }
	index := func(rep *report) map[key]summary {
		ratios := map[key]summary{}
		for _, o := range rep.Outcomes {
			for _, r := range o.Rows {
				if o.Metric == cpuPerRequest.name && r.Server != o.reference() && r.Primary.Ratio > 0 {
					ratios[key{o.Name, r.Server}] = r.Primary
				}
			}
		}
		return ratios
	}
	a, b := index(first), index(second)
	for k, s := range a {
		if t, ok := b[k]; ok {
			all = append(all, agreement{k.comparison, k.server, s, t})
			delete(b, k)
		} else {
			missing = append(missing, k.comparison+" beside "+k.server)
		}
	}
	for k := range b {
		missing = append(missing, k.comparison+" beside "+k.server)
	}
	slices.SortFunc(all, func(a, b agreement) int {
		if a.apart() != b.apart() {
			if a.apart() > b.apart() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Comparison+a.Server, b.Comparison+b.Server)
	})
	slices.Sort(missing)
	return all, missing
}

// printAgreement says where two runs differ by more than they may, and fails if
// they do anywhere.
func printAgreement(w io.Writer, first, second string) error {
	a, err := readReport(first)
	if err != nil {
		return err
	}
	b, err := readReport(second)
	if err != nil {
		return err
	}
	all, missing := agreements(a, b)
	if len(all) == 0 {
		return fmt.Errorf("%s and %s have no ratio of CPU in common", first, second)
	}
	over := 0
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "comparison\tbeside\tfirst (range)\tsecond (range)\tapart\n")
	for i, g := range all {
		if g.apart() > maxDisagreement {
			over = i + 1
		} else if i >= over+3 { // the next best, to see where the limit lies
			break
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.1f %%\n", g.Comparison, g.Server, row{Primary: g.First}.Ratio(), row{Primary: g.Second}.Ratio(), 100*g.apart())
	}
	t.Flush()
	if a.Machine.Network != b.Machine.Network {
		fmt.Fprintf(w, "their networks differ: %q and %q\n", a.Machine.Network, b.Machine.Network)
	}
	for _, m := range missing {
		fmt.Fprintf(w, "only in one of them: %s\n", m)
	}
	fmt.Fprintf(w, "%d ratios; half of them are within %.1f %%, nine tenths within %.1f %%\n",
		len(all), 100*all[len(all)/2].apart(), 100*all[len(all)/10].apart())
	if over > 0 {
		return fmt.Errorf("%d of %d ratios are more than %.0f %% apart", over, len(all), 100*maxDisagreement)
	}
	return nil
}
