//go:build linux && amd64

package preloadtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// benchLoad is something that is measured: a server, and who asks it.
type benchLoad struct {
	name, program, pkg string
	configure          func(t *testing.T, path string, s *site, port int) []string
	ask                func(addr string) *exec.Cmd
	answers            *regexp.Regexp // how many there were, in what it prints
}

const benchSeconds = 1

func benchNginx(size int, http string) benchLoad {
	return benchLoad{"", "nginx", "nginx-light", func(t *testing.T, path string, s *site, port int) []string {
		return nginxConf(t, path, s, port, "master_process off;", http, "")
	}, wrk(size), wrkAnswers}
}

func benchLighttpd(size int) benchLoad {
	return benchLoad{"", "lighttpd", "lighttpd", func(t *testing.T, path string, s *site, port int) []string {
		return lighttpdConf(t, path, s, port)
	}, wrk(size), wrkAnswers}
}

func benchRedis(command string, pipeline int) benchLoad {
	n := 100000 * min(pipeline, 8)
	return benchLoad{"", "redis-server", "redis-server", func(t *testing.T, path string, s *site, port int) []string {
		return []string{path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", ""}
	}, func(addr string) *exec.Cmd {
		_, port, _ := strings.Cut(addr, ":")
		return exec.Command("redis-benchmark", "-p", port, "-t", command, "-c", "50", "-n", strconv.Itoa(n), "-P", strconv.Itoa(pipeline))
	}, regexp.MustCompile(`(\d+) requests completed`)}
}

var wrkAnswers = regexp.MustCompile(`(\d+) requests in`)

func wrk(size int) func(addr string) *exec.Cmd {
	return func(addr string) *exec.Cmd {
		return exec.Command("wrk", "-t1", "-c50", fmt.Sprintf("-d%ds", benchSeconds), fmt.Sprintf("http://%s/f%d.bin", addr, size))
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
	for _, m := range executors(t) {
		modes = append(modes, m, mode{executor: m.executor, apart: true})
	}
	sides := load.turns(t, modes, 6)
	fmt.Printf("%s, 50 connections, server and client on a processor each, %d rounds in turns\n", name, len(sides[0].cpu))
	fmt.Printf("%-12s %12s %24s %12s\n", "", "CPU µs/req", "of off (range)", "req/s")
	for _, d := range sides {
		fmt.Printf("%-12s %12.2f %8.2f (%.2f - %.2f) %14.0f\n", d.mode, median(d.cpu), median(d.ratio), slices.Min(d.ratio), slices.Max(d.ratio), median(d.rps))
	}
}

// turns measures the load with a server for each of the modes, the first of which the
// others are compared with; rounds: beside one to warm up.
func (b benchLoad) turns(t *testing.T, modes []mode, rounds int) []*side {
	t.Helper()
	path := need(t, b.program, b.pkg)
	need(t, "wrk", "wrk")
	var sizes []int
	for _, kib := range benchSizes {
		sizes = append(sizes, kib<<10)
	}
	s := makeSite(t, sizes...)
	var sides []*side
	for _, m := range modes {
		p, addr := serve(t, m, func(port int) []string { return b.configure(t, path, s, port) })
		for _, pid := range p.pids() { // the server on the first processor, who asks on the second
			exec.Command("taskset", "-acp", "0", strconv.Itoa(pid)).Run()
		}
		sides = append(sides, &side{mode: m, p: p, addr: addr})
	}
	for round := range rounds + 1 {
		for _, d := range sides {
			cpu, rps := b.measure(t, d)
			if round == 0 {
				continue
			}
			d.cpu, d.rps = append(d.cpu, cpu), append(d.rps, rps)
			d.ratio = append(d.ratio, cpu/sides[0].cpu[round-1])
			d.faster = append(d.faster, rps/sides[0].rps[round-1])
		}
	}
	return sides
}

// measure asks one side, once.
func (b benchLoad) measure(t *testing.T, d *side) (cpu, rps float64) {
	t.Helper()
	ask := b.ask(d.addr)
	ask.Args = append([]string{"taskset", "-c", "1"}, ask.Args...)
	ask.Path, _ = exec.LookPath("taskset")
	before, began := d.p.ticks(), time.Now()
	out, err := ask.CombinedOutput()
	took, used := time.Since(began), d.p.ticks()-before
	found := b.answers.FindSubmatch(out)
	if err != nil || found == nil || used == 0 {
		t.Fatalf("%v: %v\n%s", ask.Args, err, out)
	}
	n, _ := strconv.ParseFloat(string(found[1]), 64)
	return float64(used) * 10000 / n, n / took.Seconds()
}

// ticks is what its processes have used, in hundredths of a second.
func (p *process) ticks() int {
	sum := 0
	for _, pid := range p.pids() {
		b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		_, after, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(after); len(f) > 12 {
			user, _ := strconv.Atoi(f[11])
			system, _ := strconv.Atoi(f[12])
			sum += user + system
		}
	}
	return sum
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}
