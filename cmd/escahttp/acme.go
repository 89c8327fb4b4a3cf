package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/escahttp/esca/cmd/escahttp/internal/acme"
	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
)

// checkACME looks at what can be seen to be wrong with the flags about certificates that
// are had from an authority.
func (s *serveCmd) checkACME() error {
	if s.ACME == "" {
		if s.ACMEDir != "" || s.ACMEEmail != "" || s.ACMEServerCA != "" {
			return errors.New("--acme-dir, --acme-email and --acme-server-ca are for certificates that are had by ACME: give their names by --acme")
		}
		return nil
	}
	if _, err := acme.ParseNames(s.ACME); err != nil {
		return fmt.Errorf("--acme: %w", err)
	}
	if u, err := url.Parse(s.ACMEServer); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--acme-server=%s: give the URL of the authority's directory, which begins with https://", s.ACMEServer)
	}
	list, err := s.addresses()
	if err == nil && !slices.ContainsFunc(list, func(a *address) bool { return a.secure }) {
		return errors.New("--acme: nothing speaks TLS here: give an --addr or --listen without http:// in front")
	}
	_, err = s.acmeDir()
	return err
}

// acmeDir is where certificates are kept.
func (s *serveCmd) acmeDir() (string, error) {
	if s.ACMEDir != "" {
		return filepath.Abs(s.ACMEDir)
	}
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" { // systemd's
		return filepath.Join(dir, "acme"), nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "escahttp", "acme"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("--acme: there is no home directory to keep certificates in: say where by --acme-dir")
	}
	return filepath.Join(home, ".local", "state", "escahttp", "acme"), nil
}

// openACME returns what has certificates made; nil: nothing. That of before goes on where
// nothing has changed.
func (s *serveCmd) openACME(out *errlog.Log, before *content) (*acme.Manager, error) {
	if s.ACME == "" {
		return nil, nil
	}
	if before != nil && before.acme != nil && before.ACME == s.ACME && before.ACMEDir == s.ACMEDir && before.ACMEEmail == s.ACMEEmail &&
		before.ACMEServer == s.ACMEServer && before.ACMEServerCA == s.ACMEServerCA {
		return before.acme, nil
	}
	names, err := acme.ParseNames(s.ACME)
	if err != nil {
		return nil, err
	}
	dir, err := s.acmeDir()
	if err != nil {
		return nil, err
	}
	list, err := s.addresses()
	if err != nil {
		return nil, err
	}
	begin := acme.New
	if s.dry {
		if begin = acme.Prepare; couldMake(dir) != nil {
			return nil, fmt.Errorf("--acme: certificates cannot be kept: %w: say where else by --acme-dir", couldMake(dir))
		}
	}
	m, err := begin(acme.Options{
		Names: names, Dir: dir, Email: s.ACMEEmail, Server: s.ACMEServer, ServerCA: s.ACMEServerCA,
		HTTP: slices.ContainsFunc(list, func(a *address) bool { return !a.secure }), Logf: out.Printf, Errorf: out.Errorf,
	})
	if err != nil {
		return nil, fmt.Errorf("--acme: %w", err)
	}
	return m, nil
}

// startACME has certificates made, now that the authority can be answered.
func (c *content) startACME() {
	if c.acme != nil {
		c.acme.Start()
	}
}

// challenge is a tls.Config.GetConfigForClient, for who looks whether we have a name.
func (t *site) challenge(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if m := t.now.Load().acme; m != nil {
		return m.Config(hello), nil
	}
	return nil, nil
}
