//go:build linux

// Command bench measures esca beside its peers.
//
//	go run ./bench                    what esca is judged by
//	go run ./bench -list              the comparisons and their goals
//	go run ./bench -run '^hello/free' some of them
//
// The figure is CPU time per request of the server process, because a load
// generator on the same machine is saturated long before a good server is.
// The two sides of a comparison run at the same time and are measured in turn,
// a b a b ..., because the machine is never equally fast twice; what is
// reported is the median of the rounds' ratios. Both sides have to give the
// same, right answer before and after, or nothing is reported.
//
// It needs wrk, and for the comparisons with them nginx, lighttpd and a C
// compiler; -crossings needs perf and the right to trace.
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
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == closeLoadArg {
		if err := closeLoadMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	var (
		pattern   = flag.String("run", "", "run the comparisons whose name matches this `regexp` (default: all but peers/)")
		list      = flag.Bool("list", false, "list the comparisons and stop")
		rounds    = flag.Int("rounds", 5, "rounds, each of a run on either side")
		duration  = flag.Duration("d", 3*time.Second, "duration of a run, in whole seconds")
		warmup    = flag.Duration("warmup", time.Second, "warm-up of either side, in whole seconds")
		crossings = flag.Bool("crossings", false, "count kernel crossings too, by perf, in a run of their own")
		jsonFile  = flag.String("json", "", "write every run to this `file`")
		profile   = flag.String("profile", "", "write CPU profiles of esca and fasthttp into this `directory`")
		backend   = flag.String("backend", "", "esca's kernel `backend` (default: its own choice)")
		loops     = flag.Int("loops", 0, "esca's event loops (default: its own choice)")
	)
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -h", flag.Arg(0))
	}
	if *rounds < 1 || *duration < time.Second || *warmup < time.Second {
		return errors.New("at least one round, and a second for -d and -warmup")
	}
	var match func(string) bool
	if *pattern != "" {
		re, err := regexp.Compile(*pattern)
		if err != nil {
			return fmt.Errorf("-run: %w", err)
		}
		match = re.MatchString
	}
	all := suite(testFiles())
	chosen := choose(all, match)
	if *list {
		if match == nil {
			chosen = all
		}
		printList(chosen)
		return nil
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no comparison matches %q; -list names them", *pattern)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	r := &runner{rounds: *rounds, duration: *duration, warmup: *warmup, crossings: *crossings, progress: os.Stderr}
	if r.wrk, err = lookPath("wrk", "wrk"); err != nil {
		return err
	}
	if *crossings {
		if r.perf, err = traceable(); err != nil {
			return err
		}
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	if r.shop, err = newWorkshop(); err != nil {
		return err
	}
	defer r.shop.close()
	r.shop.backend, r.shop.loops = *backend, *loops
	if *profile != "" {
		if r.shop.profileDir, err = filepath.Abs(*profile); err != nil {
			return err
		}
		if err := os.MkdirAll(r.shop.profileDir, 0o755); err != nil {
			return err
		}
	}

	here := thisMachine()
	outcomes := r.runAll(ctx, chosen)
	printTable(os.Stdout, here, outcomes, *rounds)
	if *jsonFile != "" {
		if err := writeJSON(*jsonFile, here, outcomes, *rounds); err != nil {
			return err
		}
	}
	return failures(outcomes)
}

// runAll takes the comparisons in order. One that fails does not keep the
// others from running; an interrupt does.
func (r *runner) runAll(ctx context.Context, chosen []comparison) []outcome {
	var outcomes []outcome
	for i, c := range chosen {
		r.ends = time.Now()
		for _, later := range chosen[i:] {
			r.ends = r.ends.Add(r.estimate(later))
		}
		fmt.Fprintf(r.progress, "[%d/%d] %s: %s beside %s, about %v left\n",
			i+1, len(chosen), c.name, c.a.name, c.b.name, r.left())
		o := r.compare(ctx, c)
		outcomes = append(outcomes, o)
		if ctx.Err() != nil {
			fmt.Fprintln(r.progress, "  interrupted")
			break
		}
		if o.err != nil {
			fmt.Fprintf(r.progress, "  %v\n", o.err)
		}
	}
	return outcomes
}

// failures is an error if any comparison has no figure, or not all of them. A
// goal that was missed is a figure, not a failure.
func failures(outcomes []outcome) error {
	failed := 0
	for _, o := range outcomes {
		if o.err != nil {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d comparisons are not complete", failed, len(outcomes))
	}
	return nil
}

func printList(comparisons []comparison) {
	for _, c := range comparisons {
		for _, f := range c.figures {
			fmt.Printf("%-34s %s / %s: %s, goal %s\n", c.name, c.a.name, c.b.name, f.metric.name, f.goal())
		}
	}
}

// traceable is perf, if it can count system calls here.
func traceable() (string, error) {
	perf, err := lookPath("perf", "linux-perf")
	if err != nil {
		return "", err
	}
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if _, err := os.Stat(dir + "/events/raw_syscalls/sys_enter/id"); err == nil {
			return perf, nil
		}
	}
	return "", errors.New("-crossings: no tracefs: as root, mount -t tracefs nodev /sys/kernel/tracing")
}
