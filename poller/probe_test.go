package poller

import "testing"

func TestProbeString(t *testing.T) {
	for _, c := range []struct {
		probe Probe
		want  string
	}{
		{Probe{Name: "direct"}, "direct: available"},
		{Probe{"kmod", Unavailable, "no /dev/esca"}, "kmod: unavailable: no /dev/esca"},
		{Probe{"uring", Inconclusive, "cannot allocate memory"}, "uring: inconclusive: cannot allocate memory"},
	} {
		if got := c.probe.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
		err := c.probe.Err()
		if (err == nil) != (c.probe.Status == Available) {
			t.Errorf("%s: error %v", c.want, err)
		}
		if err != nil && err.Error() != c.want {
			t.Errorf("error %q, want %q", err, c.want)
		}
	}
}

func TestCallNames(t *testing.T) {
	seen := map[string]bool{}
	for c := range Calls {
		if c.String() == "" || seen[c.String()] {
			t.Errorf("call %d is called %q", int(c), c)
		}
		seen[c.String()] = true
	}
}

func TestCountsAdd(t *testing.T) {
	a, b := Counts{Ticks: 1, Crossings: 2}, Counts{Ticks: 10, Crossings: 20}
	for c := range Calls {
		a.ByCall[c], b.ByCall[c] = uint64(c), 100
	}
	a.Add(&b)
	if a.Ticks != 11 || a.Crossings != 22 {
		t.Errorf("%+v", a)
	}
	for c, n := range a.ByCall {
		if n != 100+uint64(c) {
			t.Errorf("%s: %d", Call(c), n)
		}
	}
}
