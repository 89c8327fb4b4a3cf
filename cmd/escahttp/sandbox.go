package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/escahttp/esca/cmd/escahttp/internal/sandbox"
)

// checkSandbox looks at what can be seen to be wrong with the flags about rights.
func (s *serveCmd) checkSandbox() error {
	if s.User != "" {
		if _, err := sandbox.LookUser(s.User); err != nil {
			return fmt.Errorf("--user: %w", err)
		}
	}
	return nil
}

// confine gives away what serving does not need, now that all addresses and logs are open,
// and says what is in force.
func (t *site) confine() error {
	if t.User != "" {
		if err := t.becomeUser(); err != nil {
			return fmt.Errorf("--user: %w", err)
		}
	}
	switch {
	case t.Sandbox == "off":
		return nil
	case t.upgrades != nil && t.upgrades.HasParent() && os.Getenv(confined) != "":
		// It is inherited, and there is a limit to how often it can be put on top.
		t.out.Printf("sandbox: as the process before had it")
		return nil
	}
	rules := t.rules()
	if len(t.all) > 0 { // it is not only checked
		if b, ok := any(t.all[0].Listener).(interface{ Backend() string }); ok && strings.HasPrefix(b.Backend(), "backend kmod") {
			rules.NoFilter = "the module refuses processes that have one (--backend=uring goes with it)"
		}
	}
	inForce, missing := sandbox.Apply(rules)
	err := errors.Join(missing...)
	if err != nil && t.Sandbox == "required" {
		return fmt.Errorf("--sandbox=required: %w", err)
	}
	if err != nil {
		t.out.Warnf("sandbox: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if len(inForce) > 0 {
		os.Setenv(confined, "1")
		t.out.Printf("sandbox: %s; reads %s; writes %s", strings.Join(inForce, ", "), list(t.readable()), list(t.writable()))
	}
	return nil
}

// confined tells a process that takes the place of this one that it is in the sandbox.
const confined = "ESCAHTTP_CONFINED"

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// becomeUser makes the process --user's, with the certificates, which are to be renewed.
func (t *site) becomeUser() error {
	u, err := sandbox.LookUser(t.User)
	if err != nil || u.Is() {
		return err
	}
	if t.ACME != "" && os.Geteuid() == 0 && !t.dry {
		dir, err := t.acmeDir()
		if err == nil {
			err = u.Own(dir)
		}
		if err != nil {
			return err
		}
	}
	if err := u.Drop(); err != nil {
		return err
	}
	roots, err := t.roots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := checkRoot(root); err != nil {
			return err
		}
	}
	t.out.Printf("from here on as user %s", u)
	return nil
}

// systemFiles are what Go's runtime, resolver and TLS read.
var systemFiles = []string{
	"/etc/resolv.conf", "/run/systemd/resolve", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols",
	"/etc/passwd", "/etc/group", "/etc/localtime", "/usr/share/zoneinfo",
	"/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/pki", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/ca-certificates",
	"/proc", // of others Landlock shows nothing that is secret
	"/sys/fs/cgroup", "/dev/null", "/dev/urandom",
}

// libraries are what a program needs to be started, by an upgrade.
var libraries = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/ld.so.preload"}

// rules are what the process needs.
func (t *site) rules() sandbox.Rules {
	r := sandbox.Rules{Read: append(t.readable(), systemFiles...), Write: t.writable(), Remove: t.ofSockets(), Run: libraries, Devices: []string{"/dev/esca", "/dev/null"}}
	if exe, err := os.Executable(); err == nil {
		r.Run = append(slices.Clone(r.Run), filepath.Dir(exe))
	}
	if dir := filepath.Dir(os.Args[0]); filepath.IsAbs(dir) { // a link to it, perhaps
		r.Run = append(r.Run, dir)
	}
	return r
}

// readable are the names of what is served, of the configuration and of what that names.
// Of a file it is its folder, as others take its place.
func (t *site) readable() (names []string) {
	roots := []string{t.Root}
	if rules, err := t.hostRules(); err == nil {
		for _, h := range rules {
			roots = append(roots, h.root)
			names = append(names, folders(h.cert, h.key)...)
		}
	}
	for _, root := range roots {
		if root == "" {
			continue
		}
		// A link may be led to another version beside.
		if fi, err := os.Lstat(root); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
			names = append(names, folders(root)...)
		} else if abs, err := filepath.Abs(root); err == nil {
			names = append(names, abs)
		}
	}
	names = append(names, folders(t.Config, t.TLSCert, t.TLSKey, t.ACMEServerCA)...)
	for _, rule := range t.BasicAuth {
		f := strings.Fields(rule)
		names = append(names, folders(f[len(f)-1])...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// writable are the folders of logs and certificates.
func (t *site) writable() (names []string) {
	if t.Log != "-" {
		names = append(names, folders(t.Log)...)
	}
	if t.ACME != "" {
		if dir, err := t.acmeDir(); err == nil {
			names = append(names, dir)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ofSockets are the folders of unix sockets, which are removed at the end.
func (t *site) ofSockets() (names []string) {
	for _, l := range t.all {
		if l.unix && !strings.HasPrefix(l.where, "@") {
			names = append(names, folders(l.where)...)
		}
	}
	if path, ok := strings.CutPrefix(t.Admin, "unix:"); ok {
		names = append(names, folders(path)...)
	}
	return names
}

// folders are those in which the files lie, also if they are links to elsewhere.
func folders(files ...string) (names []string) {
	for _, f := range files {
		if f == "" {
			continue
		}
		if abs, err := filepath.Abs(f); err == nil {
			names = append(names, filepath.Dir(abs))
		}
		if to, err := filepath.EvalSymlinks(f); err == nil {
			if abs, err := filepath.Abs(to); err == nil {
				names = append(names, filepath.Dir(abs))
			}
		}
	}
	return names
}

// roots are the directories that are served.
func (s *serveCmd) roots() (roots []string, err error) {
	if s.Root != "" {
		roots = append(roots, s.Root)
	}
	rules, err := s.hostRules()
	for _, h := range rules {
		roots = append(roots, h.root)
	}
	return roots, err
}

// reaches returns an error if the sandbox keeps the process from what s serves: to open a
// folder as such is always allowed, and it would be noticed by who asks for a file.
func (t *site) reaches(s *serveCmd) error {
	if t.Sandbox == "off" {
		return nil
	}
	roots, err := s.roots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		f, err := os.Open(root)
		if err != nil {
			return t.outOfSandbox(fmt.Errorf("ROOT: %w", err))
		}
		f.Close()
	}
	return nil
}

// outOfSandbox adds to an error of a configuration that was read again that it may be the
// sandbox's.
func (t *site) outOfSandbox(err error) error {
	if t.Sandbox != "off" && errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (the sandbox reads only what was named at the start: restart escahttp)", err)
	}
	return err
}
