//go:build linux

package main

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// machine is what a figure depends on and does not say.
type machine struct {
	CPU         string    `json:"cpu"`
	Processors  int       `json:"processors"`
	Kernel      string    `json:"kernel"`
	Meltdown    string    `json:"meltdown"`    // "Mitigation: PTI": a kernel crossing costs several times as much
	Mitigations []string  `json:"mitigations"` // of what else the kernel names
	Modules     []string  `json:"modules"`     // that are measured, with their versions
	Go          string    `json:"go"`
	Nginx       string    `json:"nginx"`
	Lighttpd    string    `json:"lighttpd"`
	H2O         string    `json:"h2o,omitempty"`
	Caddy       string    `json:"caddy,omitempty"`
	Celeris     string    `json:"celeris,omitempty"`
	Postgres    string    `json:"postgres,omitempty"`
	Started     time.Time `json:"started"`
	Command     []string  `json:"command"`
	Commit      string    `json:"commit,omitempty"` // of the project
	Network     string    `json:"network"`          // whose it was, and TCP's congestion control in it
}

// thisMachine describes the machine, given what ownNetwork says.
func thisMachine(network string) machine {
	return machine{
		CPU:         cpuModel(),
		Processors:  runtime.NumCPU(),
		Kernel:      fileLine("/proc/sys/kernel/osrelease"),
		Meltdown:    fileLine("/sys/devices/system/cpu/vulnerabilities/meltdown"),
		Mitigations: mitigations(),
		Modules:     modules(),
		Go:          runtime.Version(),
		Nginx:       version("nginx", "nginx-light"),
		Lighttpd:    version("lighttpd", "lighttpd"),
		H2O:         h2oVersion(),
		Caddy:       caddyVersion(),
		Celeris:     celerisVersion(),
		Postgres:    postgresVersion(),
		Started:     time.Now(),
		Command:     os.Args[1:],
		Commit:      commit(),
		Network:     network,
	}
}

func (m machine) String() string {
	all := []string{m.CPU, "Linux " + m.Kernel, "Meltdown: " + m.Meltdown, m.Go, m.Nginx, m.Lighttpd}
	if m.Network != "" { // reports of before did not say
		all = append(all, "network: "+m.Network)
	}
	return strings.Join(all, "; ")
}

// KPTI says whether the kernel's page tables are its own, which makes a crossing dear.
func (m machine) KPTI() string {
	if strings.Contains(m.Meltdown, "PTI") {
		return "KPTI on"
	}
	return "no KPTI"
}

// mitigations are those the kernel has switched on.
func mitigations() (all []string) {
	const dir = "/sys/devices/system/cpu/vulnerabilities"
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if text := fileLine(dir + "/" + e.Name()); strings.HasPrefix(text, "Mitigation: ") {
			all = append(all, e.Name()+": "+strings.TrimPrefix(text, "Mitigation: "))
		}
	}
	return all
}

// modules are the versions of the peers that are Go modules.
func modules() []string {
	out, err := exec.Command("go", "list", "-m", "github.com/valyala/fasthttp", "github.com/panjf2000/gnet/v2").Output()
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// commit is what git calls the project's state; empty where that is not known. What
// bench itself has written since does not make it another.
func commit() string {
	root, err := projectRoot()
	if err != nil {
		return ""
	}
	out, err := exec.Command("git", "-C", root, "describe", "--always").Output()
	if err != nil {
		return ""
	}
	name := strings.TrimSpace(string(out))
	if exec.Command("git", "-C", root, "diff", "--quiet", "HEAD", "--", ".", ":(exclude)"+resultsFile).Run() != nil {
		name += ", changed"
	}
	return name
}

// versions are those of peers among these servers.
func (m machine) versions(sides []side) (all []string) {
	has := func(name string) bool {
		return slices.ContainsFunc(sides, func(s side) bool { return s.Problem == problem{} && strings.HasPrefix(s.Server, name) })
	}
	for _, mod := range m.Modules {
		path, version, _ := strings.Cut(mod, " ")
		if name := peerOf(path); has(name) {
			all = append(all, name+" "+version)
		}
	}
	for _, peer := range []struct{ name, version string }{{nginx.name, m.Nginx}, {lighttpd.name, m.Lighttpd}, {h2o.name, m.H2O}, {caddy.name, m.Caddy}, {"celeris", m.Celeris}} {
		if has(peer.name) && peer.version != "" {
			all = append(all, peer.version)
		}
	}
	return all
}

// peerOf is the name that a module's server has here.
func peerOf(module string) string {
	if strings.Contains(module, "gnet") {
		return gnetEcho.name
	}
	return fasthttpServer.name
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return runtime.GOARCH
}

func fileLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// version is what a peer says with -v, or that it is missing.
func version(name, pkg string) string {
	bin, err := lookPath(name, pkg)
	if err != nil {
		return "no " + name
	}
	out, err := exec.Command(bin, "-v").CombinedOutput()
	if err != nil {
		return name
	}
	first, _, _ := strings.Cut(string(out), "\n")
	first, _, _ = strings.Cut(strings.TrimPrefix(first, "nginx version: "), " ")
	return first
}
