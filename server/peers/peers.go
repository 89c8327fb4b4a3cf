//go:build linux

// Command peers runs fasthttp's and gnet's own tests with their servers on esca.
//
//	copy of their modules ─► hooks where serving begins ─► test binaries ─► a control
//	run on the originals ─► runs on esca, each with other settings ─► what differs
//
// In two of the runs fasthttp's clients dial through conn.Dial, once to its own servers
// and once to esca's; those have the tests of its clients.
//
// A test that passes on the original passes on esca, or stands in differences.txt
// with its reason; otherwise the command fails. Nothing of theirs is kept: the
// modules come from the module cache and are copied to a directory that is removed.
//
//	go run ./server/peers [-keep] [-v] [-only RUN] [-run TESTS] [-race=false]
//	go run ./server/peers -build DIR
package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

var (
	keep    = flag.Bool("keep", false, "keep the workspace")
	verbose = flag.Bool("v", false, "show the output of tests that differ")
	only    = flag.String("only", "", "regular expression of the runs wanted, as in 'gnet/.*uring'; the control runs come in any case")
	run     = flag.String("run", "", "regular expression of the tests wanted")
	atOnce  = flag.Int("p", 2*runtime.NumCPU(), "test binaries at once")
	race    = flag.Bool("race", true, "with the race detector")
	into    = flag.String("build", "", "only build the test binaries, static and without the race detector, into this directory, for another machine")
)

func main() {
	flag.Parse()
	if *into != "" {
		if err := buildInto(*into); err != nil {
			fmt.Fprintln(os.Stderr, "peers:", err)
			os.Exit(1)
		}
		return
	}
	began := time.Now()
	bad, err := all()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	fmt.Printf("%s\n", time.Since(began).Round(time.Second))
	if bad > 0 {
		fmt.Printf("%d tests pass on the original, and not on esca: they are a fault, or belong in server/peers/differences.txt\n", bad)
		os.Exit(1)
	}
}

// buildInto builds the test binaries of all peers into dir.
func buildInto(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	ws, err := newWorkspace()
	if err != nil {
		return err
	}
	defer ws.remove()
	for _, p := range peers {
		if err := ws.compile(p, filepath.Join(dir, p.name+".test"), "-race=false"); err != nil {
			return err
		}
	}
	return nil
}

// all runs everything, and returns how many tests differ that are not known to.
func all() (bad int, err error) {
	known, err := readDifferences()
	if err != nil {
		return 0, err
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return 0, fmt.Errorf("-only: %w", err)
	}
	ws, err := newWorkspace()
	if err != nil {
		return 0, err
	}
	defer ws.remove()
	for _, p := range peers {
		var runs []setting
		for _, s := range p.settings {
			if wanted.MatchString(p.name + "/" + s.name) {
				runs = append(runs, s)
			}
		}
		if len(runs) == 0 {
			continue
		}
		bin, err := ws.build(p)
		if err != nil {
			return bad, err
		}
		control := bin.control(runs)
		if len(control.broken) > 0 {
			return bad, errors.New(control.broken[0])
		}
		fmt.Printf("%-9s %-30s %s\n", p.name, "on the original", control)
		for _, name := range slices.Sorted(maps.Keys(control.failed)) {
			fmt.Printf("    %s fails on the original: not compared\n", name)
		}
		for _, s := range runs {
			n, err := compare(bin, s, control, known)
			if bad += n; err != nil {
				return bad, err
			}
		}
	}
	if *only == "" && *run == "" {
		for _, d := range known {
			if !d.found {
				fmt.Printf("%s %s is in differences.txt, and did not differ\n", d.run, d.test)
			}
		}
	}
	return bad, nil
}

// compare runs the tests on esca, and returns how many differ that are not known to.
func compare(bin *binary, s setting, control *results, known differences) (int, error) {
	got := bin.run(s, func(test string) bool { return bin.has(s, test) },
		func(test string) bool { return known.has(bin.peer.name, s.name, test) })
	var expected, unknown []string
	for _, name := range got.differ(control) {
		if s.skips(name) || !bin.has(s, name) {
			continue
		}
		if known.find(bin.peer.name, s.name, name) {
			expected = append(expected, name)
		} else {
			unknown = append(unknown, name)
		}
	}
	var retried []string
	if len(unknown) > 0 { // a busy machine, or a fault: once more, each by itself
		again := bin.again(s, unknown)
		unknown = slices.DeleteFunc(unknown, func(name string) bool {
			if !again.passed[name] || strings.Contains(got.output[name], raced) {
				return false
			}
			retried = append(retried, name)
			return true
		})
	}
	fmt.Printf("%-9s %-30s %s; %d differ as listed, %d passed when run again, %d differ\n", bin.peer.name, s.name, got,
		len(expected), len(retried), len(unknown))
	fmt.Printf("%-40s esca served %d listeners and %d over a bridge; the original %d that are in memory; esca dialled %d\n", "", got.counts[0], got.counts[1], got.counts[2], got.counts[3])
	for _, name := range retried {
		fmt.Printf("    %s passed when run again\n", name)
	}
	for _, name := range unknown {
		fmt.Printf("    %s differs\n", name)
		if *verbose {
			fmt.Println("        " + strings.ReplaceAll(strings.TrimSpace(got.output[name]), "\n", "\n        "))
		}
	}
	if len(got.broken) > 0 {
		return len(unknown), errors.New(got.broken[0])
	}
	if got.counts[0]+got.counts[1]+got.counts[3] == 0 {
		return len(unknown), fmt.Errorf("%s, %s: esca was never asked to serve or to dial: the hooks do not work", bin.peer.name, s.name)
	}
	return len(unknown), nil
}

// root is the directory of esca's module.
func root() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, serr := os.Stat(filepath.Join(dir, "server", "peers", "differences.txt")); serr == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("run it inside esca's source")
		}
	}
	return "", err
}
