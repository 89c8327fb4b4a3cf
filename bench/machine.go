//go:build linux

package main

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine is what a figure depends on and does not say.
type machine struct {
	CPU        string    `json:"cpu"`
	Processors int       `json:"processors"`
	Kernel     string    `json:"kernel"`
	Meltdown   string    `json:"meltdown"` // "Mitigation: PTI": a kernel crossing costs several times as much
	Go         string    `json:"go"`
	Nginx      string    `json:"nginx"`
	Lighttpd   string    `json:"lighttpd"`
	Started    time.Time `json:"started"`
	Command    []string  `json:"command"`
}

func thisMachine() machine {
	return machine{
		CPU:        cpuModel(),
		Processors: runtime.NumCPU(),
		Kernel:     fileLine("/proc/sys/kernel/osrelease"),
		Meltdown:   fileLine("/sys/devices/system/cpu/vulnerabilities/meltdown"),
		Go:         runtime.Version(),
		Nginx:      version("nginx", "nginx-light"),
		Lighttpd:   version("lighttpd", "lighttpd"),
		Started:    time.Now(),
		Command:    os.Args[1:],
	}
}

func (m machine) String() string {
	return strings.Join([]string{m.CPU, "Linux " + m.Kernel, "Meltdown: " + m.Meltdown, m.Go, m.Nginx, m.Lighttpd}, "; ")
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
