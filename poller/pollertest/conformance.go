//go:build linux

// Package pollertest is the common specification of every backend, as tests:
//
//	func TestConformance(t *testing.T) { pollertest.Conformance(t, poller.Direct) }
//
// It says what a table does (entries.go, chains.go), what a Tick sees (look.go) and
// what a parked loop waits for (park.go), what an event carries (harvest.go,
// accept.go), and what may run beside it (calls.go, counts.go). All of it works on
// real sockets.
package pollertest

import (
	"testing"

	"github.com/escahttp/esca/poller"
)

// testcase is one sentence of the specification. It gets a loop of its own.
type testcase struct {
	name   string
	config poller.Config
	run    func(*rig)
}

// Conformance checks that backends made by f do what poller.Backend promises.
// A backend that is not available fails: whoever calls this claims that it is.
func Conformance(t *testing.T, f poller.Factory) {
	if err := f.Probe().Err(); err != nil {
		t.Fatal(err)
	}
	if f.Probe().Name != f.Name() {
		t.Errorf("the probe of %q calls it %q", f.Name(), f.Probe().Name)
	}
	for _, g := range []struct {
		name  string
		cases []testcase
	}{
		{"entries", entryCases},
		{"chains", chainCases},
	} {
		// A table means the same whether it is only run, or a look follows, at once or later.
		t.Run(g.name, func(t *testing.T) {
			t.Run("run", func(t *testing.T) { runCases(t, f, g.cases, execRun) })
			t.Run("tick", func(t *testing.T) { runCases(t, f, g.cases, execTick) })
			t.Run("run-tick", func(t *testing.T) { runCases(t, f, g.cases, execRunThenTick) })
		})
	}
	for _, g := range []struct {
		name  string
		cases []testcase
	}{
		{"look", lookCases},
		{"park", parkCases},
		{"harvest", harvestCases},
		{"accept", acceptCases},
		{"packets", packetCases},
		{"calls", callCases},
		{"counts", countCases},
	} {
		t.Run(g.name, func(t *testing.T) { runCases(t, f, g.cases, execTick) })
	}
}

func runCases(t *testing.T, f poller.Factory, cases []testcase, exec executor) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			NoLeaks(t)
			for try := 1; !saw(func() { c.run(newRig(t, f, c.config, exec)) }); try++ {
				if try == 3 {
					t.Fatal("a look has seen nothing of what was ready, three times")
				}
			}
		})
	}
}

// saw is false if a case has met what found says.
func saw(run func()) (ok bool) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case unseen{}:
			ok = false
		default:
			panic(v)
		}
	}()
	run()
	return true
}
