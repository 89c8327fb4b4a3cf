//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Modules of their own, as the one is half the world, and the other can be had of few.
const (
	caddyServer   = "bench/benchserver-caddy"
	celerisServer = "bench/benchserver-celeris"
)

var (
	h2o          = &server{name: "h2o", command: startH2O}
	caddy        = &server{name: "Caddy", command: startCaddy, module: caddyServer}
	celerisEpoll = &server{name: "celeris on epoll", command: startCeleris("epoll"), module: celerisServer}
	celerisUring = &server{name: "celeris on io_uring", command: startCeleris("iouring"), module: celerisServer}
)

func startH2O(w *workshop, c *comparison, addr string) ([]string, error) {
	bin, err := lookPath("h2o", "h2o")
	if err != nil {
		return nil, err
	}
	values, err := w.listening(c, addr)
	if err != nil {
		return nil, err
	}
	values["Threads"] = fmt.Sprint(c.workers())
	conf, err := w.writeConf("h2o", h2oConf, values)
	return []string{bin, "-m", "worker", "-c", conf}, err
}

// startCaddy keeps what Caddy likes to keep in the home of its user out of there.
func startCaddy(w *workshop, c *comparison, addr string) ([]string, error) {
	bin, err := w.goBuildAlone(caddyServer)
	if err != nil {
		return nil, err
	}
	values, err := w.listening(c, addr)
	if err != nil {
		return nil, err
	}
	conf, err := w.writeConf("caddy", caddyConf, values)
	return []string{"env", "XDG_DATA_HOME=" + w.dir, "XDG_CONFIG_HOME=" + w.dir, bin, "run", "--config", conf}, err
}

func startCeleris(engine string) func(*workshop, *comparison, string) ([]string, error) {
	return func(w *workshop, _ *comparison, addr string) ([]string, error) {
		bin, err := w.goBuildAlone(celerisServer)
		return []string{bin, "-addr", addr, "-engine", engine}, err
	}
}

// goBuildAlone is goBuildModule for a module that needs nothing of the project, and
// stands in no workspace with it. Where its parts cannot be had it is missing.
func (w *workshop) goBuildAlone(dir string) (string, error) {
	bin := filepath.Join(w.dir, filepath.Base(dir))
	return bin, w.once(bin, func() error {
		root, err := projectRoot()
		if err != nil {
			return err
		}
		if err := build("env", "GOWORK=off", "go", "build", "-C", filepath.Join(root, dir), "-o", bin, "."); err != nil {
			return missingError(fmt.Sprintf("%v (%s is a module of its own: go -C %s mod download)", err, dir, dir))
		}
		return nil
	})
}

func h2oVersion() string {
	bin, err := lookPath("h2o", "h2o")
	if err != nil {
		return "no h2o"
	}
	out, err := exec.Command(bin, "--version").Output()
	if err != nil {
		return "h2o"
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return strings.Replace(first, "h2o version ", "h2o/", 1)
}

// askedFor is the version of a module that the one in dir, of its own, asks for.
func askedFor(dir, module string) string {
	root, err := projectRoot()
	if err != nil {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(root, dir, "go.mod"))
	if err != nil {
		return ""
	}
	_, version, _ := strings.Cut(string(text), module+" ")
	version, _, _ = strings.Cut(version, "\n")
	return version
}

func caddyVersion() string {
	return "Caddy/" + askedFor(caddyServer, "github.com/caddyserver/caddy/v2")
}
func celerisVersion() string {
	return "celeris/" + askedFor(celerisServer, "github.com/goceleris/celeris")
}

// listening is what a configuration needs to know of an address of TCP, and of TLS
// where it is asked for.
func (w *workshop) listening(c *comparison, addr string) (map[string]string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	values := map[string]string{"Addr": addr, "Host": host, "Port": port}
	if c.zips() {
		values["Gzip"] = "on"
	}
	if c.secure() {
		values["Cert"], values["Key"], err = w.certificate()
	}
	return values, err
}
