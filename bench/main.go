//go:build linux

// Command bench measures esca beside its peers.
//
//	go run ./bench                    everything: the table, and a report in bench-report/
//	go run ./bench -quick             the most telling part, in five minutes
//	go run ./bench -list              the comparisons and their goals
//	go run ./bench -run '^hello/free' some of them
//	go run ./bench -run '^tls/full/'  one of them, in a minute
//	go run ./bench -agree DIR DIR     whether two reports agree
//	go run ./bench -from DIR -out DIR the report of an earlier run anew
//
// The figure is CPU time per request of the server process, because a load
// generator on the same machine is saturated long before a good server is.
// The sides of a comparison run at the same time and take turns of a tenth of a
// second, a b c, c b a, ..., because the machine is never equally fast twice, and
// they are started anew now and then, because no two processes of one program are
// equally fast; what is reported is the mean of the rounds' ratios. Where latencies
// are what is asked for, turns are of a second, and nothing pauses. They run in a
// network namespace of their own, if that is permitted, lest the machine's
// congestion control is measured. All sides have to give the same, right answer
// before, while and after, or nothing is reported of them.
//
// Of every load the last results stand in bench/RESULTS.md: a run of one replaces
// what stands there of it. With -run each load takes a minute at most, once what it
// is measured with is built; -help lists them.
//
// A server that is not installed is named as missing. Interrupted, bench stops
// what it has started and reports what it has.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

func main() {
	run := run
	if len(os.Args) > 1 && os.Args[1] == generateArg {
		run = func() error { return generateMain(os.Stdin, os.Stdout) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// request is what the command line asks for.
type request struct {
	match    func(string) bool // nil: all
	quick    bool
	list     bool
	starts   int
	rounds   int
	duration time.Duration
	whole    time.Duration
	within   time.Duration
	out      string
	guest    string
	profile  string
	results  *string // nil: the project's
	minute   bool    // for each comparison, at most
	backend  string
	from     string
	agree    bool
	reports  []string // to be compared
}

func parseFlags() (q request, err error) {
	pattern := flag.String("run", "", "run the comparisons whose name matches this `regexp`")
	flag.BoolVar(&q.quick, "quick", false, "run only the most telling comparisons")
	flag.BoolVar(&q.list, "list", false, "list the comparisons and their goals, and stop")
	flag.IntVar(&q.starts, "starts", 2, "times that every server is started anew; twice as often under load with nothing pinned")
	flag.IntVar(&q.rounds, "rounds", 8, "rounds after each start, in which the sides take turns; fewer where they have to be long")
	flag.DurationVar(&q.duration, "d", 200*time.Millisecond, "`time` that every side is driven in a round")
	flag.DurationVar(&q.whole, "whole", time.Second, "`time` of the run without a pause that the first starts end with, in whole seconds; latencies are of it")
	flag.DurationVar(&q.within, "within", fullRun, "`time` for all: what the starts asked for leave of it goes to more starts where ratios are scattered most; those only by itself with -quick or -run")
	flag.StringVar(&q.out, "out", "bench-report", "`directory` for report.html, runs.json and the charts")
	results := flag.String("results", resultsFile, "`file` in which the results of the loads that were measured are replaced; empty: none. The default is in the project, and not written with -profile or -from")
	flag.StringVar(&q.guest, "guest", "", "`file` with the table that make test-vm-cost prints, to be a part of the report")
	flag.StringVar(&q.profile, "profile", "", "write CPU profiles of the Go servers into this `directory`")
	flag.StringVar(&q.backend, "backend", "", "the backend that esca's goals are judged on (default: its own choice)")
	flag.StringVar(&q.from, "from", "", "measure nothing: write the report anew, into -out, from the runs.json in this `directory`")
	flag.BoolVar(&q.agree, "agree", false, "measure nothing: compare the reports in two directories, and fail where they are more than 5 % apart")
	flag.Usage = usage
	flag.Parse()
	asked := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { asked[f.Name] = true })
	if (q.quick || *pattern != "") && !asked["within"] {
		q.within = 0
	}
	q.minute = *pattern != "" && !asked["starts"] && !asked["rounds"] && !asked["d"] && !asked["whole"]
	switch {
	case asked["results"]:
		q.results = results
	case q.profile != "" || q.from != "":
		q.results = new(string)
	}
	switch {
	case q.agree && flag.NArg() != 2:
		return q, errors.New("-agree needs two directories: go run ./bench -agree FIRST SECOND")
	case q.agree:
		q.reports = flag.Args()
		return q, nil
	case flag.NArg() > 0:
		return q, fmt.Errorf("unexpected argument %q; see -h", flag.Arg(0))
	case q.starts < 1 || q.rounds < 1 || q.duration < shortTurn || q.whole < time.Second || q.whole%time.Second != 0:
		return q, fmt.Errorf("at least one start and one round, %v for -d, and whole seconds for -whole", shortTurn)
	case *pattern == "":
		return q, nil
	}
	re, err := regexp.Compile(*pattern)
	if err != nil {
		return q, fmt.Errorf("-run: %w", err)
	}
	q.match = re.MatchString
	return q, nil
}

func run() error {
	q, err := parseFlags()
	if err != nil {
		return err
	}
	if q.agree {
		return printAgreement(os.Stdout, q.reports[0], q.reports[1])
	}
	guest := "" // read before anything is measured, lest an hour is lost to a wrong name
	if q.guest != "" {
		text, err := os.ReadFile(q.guest)
		if err != nil {
			return fmt.Errorf("-guest: %w", err)
		}
		guest = string(text)
	}
	if q.from != "" {
		rep, err := readReport(q.from)
		if err != nil {
			return err
		}
		if guest != "" {
			rep.Guest = guest
		}
		if err := rep.publish(q.out); err != nil {
			return err
		}
		return q.record(rep)
	}
	on, err := findBackends(q.backend)
	if err != nil {
		return err
	}
	chosen := choose(suite(on), q.quick, q.match)
	switch {
	case len(chosen) == 0:
		return errors.New("no comparison matches; -list names them")
	case q.list:
		printList(os.Stdout, chosen)
		return nil
	}
	end := time.Now().Add(q.within)
	network, err := ownNetwork(chosen)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	r := &runner{starts: q.starts, rounds: q.rounds, duration: q.duration, whole: q.whole, counter: findCounter(), progress: newProgress(os.Stderr)}
	if r.wrk, err = lookPath("wrk", "wrk"); err != nil {
		r.progress.note("%v: loads over TCP are left out", err)
	}
	if q.minute {
		r.fit(chosen, aMinute)
	}
	if r.counter.perf == "" {
		r.progress.note("kernel crossings are not counted: %s", r.counter.why)
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	if r.shop, err = newWorkshop(); err != nil {
		return err
	}
	defer r.shop.close()
	if q.profile != "" {
		if r.shop.profileDir, err = filepath.Abs(q.profile); err != nil {
			return err
		}
		if err := os.MkdirAll(r.shop.profileDir, 0o755); err != nil {
			return err
		}
	}
	rep := &report{Machine: thisMachine(network), Whole: q.whole.String(), Guest: guest}
	switches, err := measureSwitch()
	if err != nil {
		return err
	}
	rep.Switch = switches
	rep.Outcomes = r.runAll(ctx, chosen, end)
	r.progress.end()
	if err := errors.Join(rep.publish(q.out), q.record(rep)); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New("interrupted: the report is of what was measured until then")
	}
	return nil
}

// record brings the results of each load up to date.
func (q *request) record(rep *report) error {
	path, err := resultsPath(q.results)
	if err != nil || path == "" {
		return err
	}
	on, err := findBackends(q.backend)
	if err != nil {
		return err
	}
	var order []string
	for _, c := range suite(on) {
		order = append(order, c.name)
	}
	if err := rep.writeResults(path, order); err != nil {
		return err
	}
	fmt.Printf("results of each load: %s\n", path)
	return nil
}

// publish prints the report and writes it into dir.
func (rep *report) publish(dir string) error {
	printTable(os.Stdout, rep)
	if err := rep.write(dir); err != nil {
		return err
	}
	fmt.Printf("\nreport: %s\n", filepath.Join(dir, "report.html"))
	return nil
}

// runAll takes the comparisons one after another, with one start of their servers
// each, and all of them again until each has had its starts; then it refines
// them. What a machine is like for ten minutes, and not for the next, is then a
// part of every ratio's scatter, and not the whole of some ratios. A comparison
// that fails does not keep the others from running; an interrupt does.
func (r *runner) runAll(ctx context.Context, chosen []comparison, end time.Time) []*outcome {
	outcomes := make([]*outcome, len(chosen))
	most := 0
	for i := range chosen {
		outcomes[i] = r.newOutcome(&chosen[i])
		most = max(most, outcomes[i].Starts)
	}
	for start := range most {
		for i := range chosen {
			if start >= outcomes[i].Starts {
				continue
			}
			var left time.Duration
			for k := range chosen {
				done := start
				if k < i {
					done++
				}
				left += r.estimate(&chosen[k], done)
			}
			r.progress.begin(chosen[i].name, start+1, outcomes[i].Starts, max(left, time.Until(end)))
			r.compare(ctx, &chosen[i], outcomes[i], start)
			if ctx.Err() != nil {
				r.progress.note("interrupted: what was measured so far is reported")
				return slices.DeleteFunc(outcomes, func(o *outcome) bool { return !o.begun() })
			}
		}
	}
	r.refine(ctx, chosen, outcomes, end)
	return outcomes
}
