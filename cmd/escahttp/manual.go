package main

import (
	"os"

	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
	"github.com/escahttp/esca/cmd/escahttp/internal/manual"
	"github.com/escahttp/esca/poller"
)

// completionCmd and manCmd print what is made of the flags.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

type manCmd struct{}

func describe() (*manual.Program, error) {
	k, err := newParser(new(options))
	if err != nil {
		return nil, err
	}
	backends := []string{"auto"}
	for _, p := range poller.Probes() {
		backends = append(backends, p.Name)
	}
	return manual.Describe(k.Model, "escahttp "+version(), map[string][]string{"backend": backends}), nil
}

func (c *completionCmd) run(*errlog.Log) error {
	p, err := describe()
	if err != nil {
		return err
	}
	switch c.Shell {
	case "bash":
		p.Bash(os.Stdout)
	case "zsh":
		p.Zsh(os.Stdout)
	case "fish":
		p.Fish(os.Stdout)
	}
	return nil
}

func (*manCmd) run(*errlog.Log) error {
	p, err := describe()
	if err != nil {
		return err
	}
	p.Man(os.Stdout, [][]string{
		{"SIGNALS", "SIGHUP: the configuration and certificates are read again, the access log is reopened, and all files are looked at anew.",
			"SIGTERM, SIGINT: no more connections are taken, and requests that have begun may finish within --shutdown-timeout; a second one ends them.",
			"SIGUSR2: the program is started anew, as it is on disk now, gets the listening sockets, and takes this one's place without a lost request."},
		{"EXIT STATUS", "0: it was asked to stop, and has. 1: it could not serve, or not all requests could finish when it was asked twice. 2: it was called wrongly."},
		{"EXAMPLES", "escahttp --list .", "escahttp --addr=:443 --listen=http://:80 --https-redirect --tls-cert=cert.pem --tls-key=key.pem /srv/site"},
	})
	return nil
}
