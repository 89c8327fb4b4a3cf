//go:build linux && amd64

package preloadtest

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// benchLoad is something that is measured: a server, and who asks it.
type benchLoad struct {
	name, program, pkg string
	configure          func(t *testing.T, path string, s *site, port int) []string
	ask                func(addr string) *exec.Cmd
	answers            *regexp.Regexp // how many there were, in what it prints
	counts             bool           // it ends by itself, after so many
}

func benchNginx(size int, http string) benchLoad {
	return benchLoad{"", "nginx", "nginx-light", func(t *testing.T, path string, s *site, port int) []string {
		return nginxConf(t, path, s, port, "master_process off;", http, "")
	}, wrk(size), wrkAnswers, false}
}

func benchLighttpd(size int) benchLoad {
	return benchLoad{"", "lighttpd", "lighttpd", func(t *testing.T, path string, s *site, port int) []string {
		return lighttpdConf(t, path, s, port)
	}, wrk(size), wrkAnswers, false}
}

func benchRedis(command string, pipeline int) benchLoad {
	n := 40000 * min(pipeline, 8)
	return benchLoad{"", "redis-server", "redis-server", func(t *testing.T, path string, s *site, port int) []string {
		return []string{path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", ""}
	}, func(addr string) *exec.Cmd {
		_, port, _ := strings.Cut(addr, ":")
		return exec.Command("redis-benchmark", "-p", port, "-t", command, "-c", "50", "-n", strconv.Itoa(n), "-P", strconv.Itoa(pipeline))
	}, regexp.MustCompile(`(\d+) requests completed`), true}
}

// ownCommand is ESCA_PRELOAD_COMMAND, a server of files that is none of Debian's, with the port and
// the directory where it says PORT and SITE.
func ownCommand(t *testing.T, s *site, port int) []string {
	t.Helper()
	argv := strings.Fields(strings.NewReplacer("PORT", strconv.Itoa(port), "SITE", s.dir).Replace(os.Getenv("ESCA_PRELOAD_COMMAND")))
	if len(argv) == 0 {
		t.Fatal("no server is named: set ESCA_PRELOAD_COMMAND='PROGRAM ... PORT ... SITE'")
	}
	return argv
}

func benchCommand(size int) benchLoad {
	return benchLoad{"", "sh", "dash", func(t *testing.T, _ string, s *site, port int) []string {
		return ownCommand(t, s, port)
	}, wrk(size), wrkAnswers, false}
}

var wrkAnswers = regexp.MustCompile(`(\d+) requests in`)

func wrk(size int) func(addr string) *exec.Cmd {
	return func(addr string) *exec.Cmd {
		return exec.Command("wrk", "-t1", "-c50", "-d1h", fmt.Sprintf("http://%s/f%d.bin", addr, size))
	}
}

var benchLoads = loads()

func loads() map[string]benchLoad {
	m := map[string]benchLoad{
		"nginx-nopush": benchNginx(1<<10, "sendfile on; tcp_nopush on;"),
		"redis-get":    benchRedis("get", 1),
		"redis-set":    benchRedis("set", 1),
		"redis-get-16": benchRedis("get", 16),
		"redis-set-16": benchRedis("set", 16),
	}
	for _, kib := range benchSizes {
		m[fmt.Sprintf("nginx-%dk", kib)] = benchNginx(kib<<10, "sendfile on; open_file_cache max=1000;")
		m[fmt.Sprintf("lighttpd-%dk", kib)] = benchLighttpd(kib << 10)
		m[fmt.Sprintf("command-%dk", kib)] = benchCommand(kib << 10)
	}
	return m
}

// benchSizes are those of the files, in KiB: the paper's figures 9, 10, 12 and 13 have 1 to
// 40, and 100 to 200.
var benchSizes = []int{1, 10, 20, 40, 100, 200}

// side is one way to run the server; all of them stay, and are measured in turns.
type side struct {
	mode
	p     *process
	addr  string
	cpu   []float64 // µs a request, a round each
	ratio []float64 // to the first side's of the same round
	rps   []float64
	// faster is its throughput, of the first side's of the same round.
	faster []float64
}

// TestBench measures one load with and without the library: make preload-bench LOAD=...
// ESCA_PRELOAD_ROUNDS says how often (20 times of a second a side), and ESCA_PRELOAD_SIDES
// which executors, without those that join no sends; ESCA_PRELOAD_NETWORK=machine, that it is not
// to have a network of its own.
func TestBench(t *testing.T) {
	name := os.Getenv("ESCA_PRELOAD_BENCH")
	if name == "" {
		t.Skip("measures, and tests nothing: make preload-bench")
	}
	load, ok := benchLoads[name]
	if !ok {
		var names []string
		for n := range benchLoads {
			names = append(names, n)
		}
		slices.Sort(names)
		t.Fatalf("no load %q: it is one of %s", name, strings.Join(names, ", "))
	}
	modes := []mode{{executor: "off"}}
	if only := os.Getenv("ESCA_PRELOAD_SIDES"); only != "" {
		for _, e := range strings.Split(only, ",") {
			modes = append(modes, mode{executor: e})
		}
	} else {
		for _, m := range executors(t) {
			modes = append(modes, m, mode{executor: m.executor, apart: true})
		}
	}
	sides := load.turns(t, modes, benchRounds(20))
	fmt.Printf("%s, 50 connections, server and client on a processor each, %s, %d rounds in turns\n", name, network(), len(sides[0].cpu))
	fmt.Printf("%-12s %12s %30s %10s %16s\n", "", "CPU µs/req", "of off (95 % of the median)", "req/s", "sys_enter/req")
	for _, d := range sides {
		low, high := interval(d.ratio)
		fmt.Printf("%-12s %12.2f %12.3f (%.3f - %.3f) %14.0f %14s\n", d.mode, median(d.cpu), median(d.ratio), low, high, median(d.rps), load.crossings(t, d))
	}
}

// benchRounds is ESCA_PRELOAD_ROUNDS, or n.
func benchRounds(n int) int {
	if s, err := strconv.Atoi(os.Getenv("ESCA_PRELOAD_ROUNDS")); err == nil && s > 0 {
		return s
	}
	return n
}

// crossings are the system calls a request, which perf counts in a round of its own.
func (b benchLoad) crossings(t *testing.T, d *side) string {
	var pids []string
	for _, pid := range d.p.pids() {
		pids = append(pids, strconv.Itoa(pid))
	}
	perf := exec.Command("perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", strings.Join(pids, ","))
	var counted strings.Builder
	perf.Stderr = &counted
	if perf.Start() != nil {
		return "no perf"
	}
	answers := b.round(t, []*side{d}, 10)[0].answers
	perf.Process.Signal(os.Interrupt)
	perf.Wait()
	calls, err := strconv.ParseFloat(strings.Split(counted.String(), ",")[0], 64)
	if err != nil {
		return "no perf"
	}
	return fmt.Sprintf("%.3f", calls/answers)
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// interval is where the median of what x is drawn from lies with 95 %: between two of x,
// since how many of them are below it is a matter of tossing coins.
func interval(x []float64) (low, high float64) {
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	chance, below, k := math.Pow(0.5, float64(n)), 0.0, 0
	for ; k < (n-1)/2; k++ {
		if below += chance; below > 0.025 {
			break
		}
		chance *= float64(n-k) / float64(k+1)
	}
	k = max(k-1, 0)
	return x[k], x[n-1-k]
}
