//go:build linux

package poller

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// standIn is a factory of which only the probe matters.
type standIn struct {
	Factory
	probe Probe
}

func (s standIn) Name() string { return s.probe.Name }
func (s standIn) Probe() Probe { return s.probe }

// withFactories has the package know these backends until the test is over.
func withFactories(t *testing.T, probes ...Probe) {
	saved := factories
	t.Cleanup(func() { factories = saved })
	factories = nil
	for _, p := range probes {
		factories = append(factories, standIn{probe: p})
	}
}

var (
	module = Probe{"module", Unavailable, "no /dev/module"}
	fake   = Probe{"fake", Inconclusive, "out of memory"}
	plain  = Probe{Name: "plain"}
	second = Probe{Name: "second"}
)

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		test, name, env string
		want            string // the backend
		says            []string
	}{
		{"auto", "auto", "", "plain", []string{"plain", "module: unavailable: no /dev/module", "fake: inconclusive: out of memory"}},
		{"nothing", "", "", "plain", []string{"plain", "no /dev/module"}},
		{"by name", "second", "", "second", []string{"second", "option"}},
		{"by name against the environment", "second", "plain", "second", []string{"second", "option"}},
		{"auto by the environment", "auto", "second", "second", []string{"second", EnvBackend}},
		{"nothing, by the environment", "", "second", "second", []string{"second", EnvBackend}},
		{"the environment says auto", "", "auto", "plain", []string{"plain", "no /dev/module"}},
		{"unavailable", "module", "", "", []string{"module", "no /dev/module", "option"}},
		{"unavailable by the environment", "auto", "module", "", []string{"module", "no /dev/module", EnvBackend}},
		{"inconclusive", "fake", "", "", []string{"fake", "inconclusive", "out of memory"}},
		{"unknown", "epoll", "", "", []string{`"epoll"`, "option", "auto", "module", "fake", "plain", "second"}},
		{"unknown by the environment", "", "epoll", "", []string{`"epoll"`, EnvBackend, "auto", "plain"}},
	} {
		t.Run(c.test, func(t *testing.T) {
			withFactories(t, module, fake, plain, second)
			t.Setenv(EnvBackend, c.env)
			f, why, err := Choose(c.name)
			if (err == nil) != (c.want != "") {
				t.Fatalf("%v, %q, %v", f, why, err)
			}
			if err != nil {
				why = err.Error()
			} else if f.Name() != c.want {
				t.Errorf("%s, want %s", f.Name(), c.want)
			}
			for _, part := range c.says {
				if !strings.Contains(why, part) {
					t.Errorf("%q does not say %q", why, part)
				}
			}
			if strings.Contains(why, "\n") {
				t.Errorf("%q is more than a line", why)
			}
		})
	}
}

func TestChooseSaysWhyAsAnError(t *testing.T) {
	withFactories(t, module, plain)
	_, _, err := Choose("module")
	var p *ProbeError
	if !errors.As(err, &p) || p.Probe != module {
		t.Errorf("%v does not wrap the probe", err)
	}
}

func TestChooseNone(t *testing.T) {
	withFactories(t, module, fake)
	t.Setenv(EnvBackend, "")
	_, _, err := Choose("auto")
	if err == nil || !strings.Contains(err.Error(), "no /dev/module") || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("%v does not give every reason", err)
	}
}

func TestProbes(t *testing.T) {
	withFactories(t, module, fake, plain)
	if got := Probes(); !slices.Equal(got, []Probe{module, fake, plain}) {
		t.Errorf("%v", got)
	}
}

// Whatever else there is, direct is, and it works.
func TestDirectIsTheLastResort(t *testing.T) {
	ps := Probes()
	if last := ps[len(ps)-1]; last.Name != "direct" || last.Status != Available {
		t.Errorf("%v", ps)
	}
	if f, _, err := Choose("direct"); err != nil || f != Direct {
		t.Errorf("%v, %v", f, err)
	}
}
