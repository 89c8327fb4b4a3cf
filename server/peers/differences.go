//go:build linux

package main

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed differences.txt
var differencesText string

// differences are tests that cannot pass on esca, each with the reason.
type differences []*difference

type difference struct {
	run, test *regexp.Regexp
	found     bool // by find
}

// readDifferences reads the list: a line "PEER/RUN TEST" of regular expressions, and
// below it, indented, why.
func readDifferences() (ds differences, err error) {
	reason := true
	for n, line := range strings.Split(differencesText, "\n") {
		text, _, _ := strings.Cut(line, "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		if strings.TrimLeft(text, " \t") != text {
			reason = true
			continue
		}
		f := strings.Fields(text)
		if len(f) != 2 {
			return nil, fmt.Errorf("differences.txt:%d: want PEER/RUN and TEST", n+1)
		}
		d := &difference{}
		if d.run, err = regexp.Compile("^(" + f[0] + ")$"); err == nil {
			d.test, err = regexp.Compile("^(" + f[1] + ")(/.*)?$")
		}
		if err != nil {
			return nil, fmt.Errorf("differences.txt:%d: %w", n+1, err)
		}
		ds, reason = append(ds, d), false
	}
	if !reason {
		return nil, fmt.Errorf("differences.txt: the last line has no reason below it")
	}
	return ds, nil
}

// has reports whether a test is expected to differ in a run.
func (ds differences) has(peer, run, test string) bool { return ds.of(peer, run, test) != nil }

// find is has for a test that did differ.
func (ds differences) find(peer, run, test string) bool {
	d := ds.of(peer, run, test)
	if d != nil {
		d.found = true
	}
	return d != nil
}

func (ds differences) of(peer, run, test string) *difference {
	for _, d := range ds {
		if d.run.MatchString(peer+"/"+run) && d.test.MatchString(test) {
			return d
		}
	}
	return nil
}
