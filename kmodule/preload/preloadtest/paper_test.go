//go:build linux && amd64

package preloadtest

import (
	"fmt"
	"os"
	"testing"
)

// figures are those of section V of the ESCA paper that are of servers in C, with what it
// says of them (Graviton2, two cores, Linux 5.11, Meltdown mitigation as it was there).
var figures = []struct {
	name, paper string
	loads       []string
}{
	{"9, lighttpd, small files", "best +23 %, average +8 %", of("lighttpd", 1, 10, 20, 40)},
	{"10, nginx, small files", "best +12 %, average +7 %", of("nginx", 1, 10, 20, 40)},
	{"12, lighttpd, large files", "no gain, no loss", of("lighttpd", 100, 200)},
	{"13, nginx, large files", "no gain", of("nginx", 100, 200)},
	{"Redis, pipeline of 16", "SET +3 %, GET +4 %", []string{"redis-set-16", "redis-get-16"}},
}

func of(server string, kib ...int) (names []string) {
	for _, k := range kib {
		names = append(names, fmt.Sprintf("%s-%dk", server, k))
	}
	return names
}

// TestPaper remakes those figures, with and without the library in turns: make
// preload-paper. Figures 8 and 11 are Mongoose's, which Debian does not have as a server (TestBench measures one that is at hand);
// figure 14 is bench's (degree/pinned).
func TestPaper(t *testing.T) {
	if os.Getenv("ESCA_PRELOAD_PAPER") == "" {
		t.Skip("measures, and tests nothing: make preload-paper")
	}
	modes := append([]mode{{executor: "off"}}, executors(t)...)
	fmt.Printf("In %s; of each ratio the median of %d rounds, and where it lies with 95 %%\n", network(), benchRounds(10))
	for _, f := range figures {
		fmt.Printf("\nFigure %s. The paper: %s\n%-14s", f.name, f.paper, "")
		for _, m := range modes {
			fmt.Printf(" %39s", m)
		}
		fmt.Println()
		for _, name := range f.loads {
			t.Run(name, func(t *testing.T) {
				fmt.Printf("%-14s", name)
				for _, d := range benchLoads[name].turns(t, modes, benchRounds(10)) {
					if d.executor == "off" {
						fmt.Printf(" %33.0f req/s", median(d.rps))
						continue
					}
					slow, fast := interval(d.faster)
					low, high := interval(d.ratio)
					fmt.Printf("  %+4.0f %% (%+.0f to %+.0f), CPU %.2f (%.2f-%.2f)", 100*(median(d.faster)-1), 100*(slow-1), 100*(fast-1), median(d.ratio), low, high)
				}
				fmt.Println()
			})
		}
	}
}
