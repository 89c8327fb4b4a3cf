//go:build linux

package main

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/escahttp/esca/server/internal/fast"
)

// The hooks know esca's own listeners by the name of their type: one that they did not know
// would be served by esca again, without end.
func TestHooksKnowOurOwnListeners(t *testing.T) {
	b, err := hooks.ReadFile("hooks/fasthttp.go.txt")
	if name := fmt.Sprintf("%q", fmt.Sprintf("%T", &fast.Parked{})); err != nil || !bytes.Contains(b, []byte(name)) {
		t.Errorf("hooks/fasthttp.go.txt does not name %s (%v)", name, err)
	}
}

// set is a set of names.
func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

// What passed on the original and not on esca is named once, at its smallest part,
// whether it failed, was skipped or never came.
func TestDiffer(t *testing.T) {
	control := &results{passed: set("A", "A/x", "A/y", "B", "C", "C/x")}
	for _, c := range []struct {
		name           string
		passed, failed map[string]bool
		want           []string
	}{
		{"all pass", set("A", "A/x", "A/y", "B", "C", "C/x"), nil, nil},
		{"a part fails", set("A/x", "B", "C", "C/x"), set("A", "A/y"), []string{"A/y"}},
		{"a test fails before its parts come", set("A", "A/x", "A/y", "B"), set("C"), []string{"C"}},
		{"a test never comes", set("A", "A/x", "A/y", "C", "C/x"), nil, []string{"B"}},
		{"a part is skipped", set("A", "A/y", "B", "C", "C/x"), nil, []string{"A/x"}},
	} {
		r := &results{passed: c.passed, failed: c.failed}
		if got := r.differ(control); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A test that has failed in one process has failed, although a part of it passed in
// another.
func TestResultsOfTwoProcesses(t *testing.T) {
	r := newResults()
	r.add(&results{passed: set("A", "A/x")})
	r.add(&results{failed: set("A", "A/y")})
	if got := slices.Sorted(maps.Keys(r.passed)); !slices.Equal(got, []string{"A/x"}) {
		t.Errorf("passed: %v", got)
	}
}

// -test.run takes whole tests in one expression, and parts of tests.
func TestPattern(t *testing.T) {
	for want, tests := range map[string][]string{
		"^(TestA|TestB)$":   {"TestA", "TestB"},
		"^TestA$/^x=1\\.5$": {"TestA/x=1.5"},
	} {
		if got := pattern(tests); got != want {
			t.Errorf("%v: %s, want %s", tests, got, want)
		}
	}
}

// Every listed difference has a reason, and every expression means something.
func TestDifferences(t *testing.T) {
	ds, err := readDifferences()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		for _, s := range p.settings {
			if ds.has(p.name, s.name, "TestNothingOfThis") {
				t.Errorf("%s/%s: the list has everything", p.name, s.name)
			}
		}
	}
	for _, d := range ds {
		if !slices.ContainsFunc(peers, func(p peer) bool {
			return slices.ContainsFunc(p.settings, func(s setting) bool { return d.run.MatchString(p.name + "/" + s.name) })
		}) {
			t.Errorf("%v is no run", d.run)
		}
	}
	ds = differences{{run: regexp.MustCompile("^(fasthttp/.*)$"), test: regexp.MustCompile("^(TestA)(/.*)?$")}}
	if !ds.has("fasthttp", "inline", "TestA/x") || ds.has("gnet", "inline", "TestA") || ds.has("fasthttp", "inline", "TestAB") {
		t.Error("a difference is of its runs and its test, with what that consists of")
	}
}

// A run of some files has all their tests, also those that the others leave out; a
// control run has what any of the runs has.
func TestTestsOfARun(t *testing.T) {
	b := &binary{
		peer:       peer{skip: regexp.MustCompile("Slow")},
		declaredIn: map[string]string{"TestServer": "server_test.go", "TestClient": "client_test.go", "TestClientSlow": "client_test.go"},
	}
	all, dialling := settingsOf("", "", "direct"), settingsOf("", "", "direct").dialling([]string{"client_test.go"})
	for test, want := range map[string][2]bool{
		"TestServer":       {true, false},
		"TestClient":       {true, true},
		"TestClient/a":     {true, true},
		"TestClientSlow":   {false, true},
		"TestClientSlow/a": {false, true},
	} {
		if got := [2]bool{b.has(all, test), b.has(dialling, test)}; got != want {
			t.Errorf("%s: %v, want %v", test, got, want)
		}
	}
}

// The file of a test is known.
func TestDeclarations(t *testing.T) {
	in, err := declarations(".")
	if err != nil || in["TestDeclarations"] != "peers_test.go" {
		t.Errorf("%v, %v", in, err)
	}
}
