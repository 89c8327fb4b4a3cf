//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// postgresServer is a module of its own, so that the driver is in no
	// module graph but its own.
	postgresServer = "bench/benchserver-pg"
	// postgresUser is whom Debian has it run as: it refuses to be root.
	postgresUser = "postgres"
	// greetings is what benchserver-pg asks for.
	greetings = "create table greetings (id int primary key, message text not null); " +
		"insert into greetings select i, 'Hello, World!' from generate_series(1, 1000) i; analyze greetings"
)

// postgres is a cluster of bench's own, on a unix socket. What it keeps is not
// worth a disk's time.
var postgres = &upstream{name: "PostgreSQL", start: startPostgres}

// cluster is where PostgreSQL is installed, and where ours keeps its data.
type cluster struct {
	bin string   // directory of its programs
	dir string   // that its user owns: data, and the socket
	as  []string // command line that runs what follows as that user; empty: bench's own is good enough
}

func (c *cluster) program(name string, args ...string) []string {
	return append(append(c.as[:len(c.as):len(c.as)], filepath.Join(c.bin, name)), args...)
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

// debianPostgres has a directory for each version that is installed.
const debianPostgres = "/usr/lib/postgresql"

// findPostgres finds the programs of the newest version.
func findPostgres(root string) (string, error) {
	paths, err := filepath.Glob(root + "/*/bin/postgres")
	if err != nil {
		return "", err
	}
	best, newest := "", 0
	for _, path := range paths {
		bin := filepath.Dir(path)
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && v > newest {
			best, newest = bin, v
		}
	}
	if best == "" {
		return "", missingError("PostgreSQL is not installed: apt-get install postgresql")
	}
	return best, nil
}

// postgresVersion is what the newest says it is, or that there is none.
func postgresVersion() string {
	bin, err := findPostgres(debianPostgres)
	if err != nil {
		return "no PostgreSQL"
	}
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return "PostgreSQL"
	}
	_, v, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	return v
}

// newCluster finds PostgreSQL, and a directory for what it keeps, which the
// first to ask has filled.
func newCluster(w *workshop) (*cluster, error) {
	bin, err := findPostgres(debianPostgres)
	if err != nil {
		return nil, err
	}
	c := &cluster{bin: bin, dir: filepath.Join(w.dir, "postgres")}
	if os.Geteuid() == 0 {
		setpriv, err := lookPath("setpriv", "util-linux")
		if err != nil {
			return nil, err
		}
		// A change of user takes away the signal that startProcess has asked for.
		c.as = []string{setpriv, "--reuid", postgresUser, "--regid", postgresUser, "--clear-groups", "--pdeathsig", "TERM", "--"}
	}
	return c, w.once(c.dir, c.init)
}

func (c *cluster) init() error {
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return err
	}
	if len(c.as) > 0 {
		u, err := user.Lookup(postgresUser)
		if err != nil {
			return missingError("PostgreSQL will not run as root, and " + err.Error() + ": apt-get install postgresql")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(c.dir, uid, gid); err != nil {
			return err
		}
	}
	_, err := complete(c.program("initdb", "-D", c.data(), "-U", postgresUser, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")...)
	return err
}

func startPostgres(ctx context.Context, w *workshop) (*process, string, error) {
	c, err := newCluster(w)
	if err != nil {
		return nil, "", err
	}
	argv := c.program("postgres", "-D", c.data(), "-k", c.dir, "-h", "", "-c", "fsync=off", "-c", "autovacuum=off", "-c", "jit=off")
	p, err := startProcess(argv, environment(), nil, nil)
	if err != nil {
		return nil, "", err
	}
	err = c.awaitReady(ctx, p)
	if err == nil {
		err = w.once(greetings, func() error {
			_, err := complete(c.program("psql", "-h", c.dir, "-U", postgresUser, "-q", "-v", "ON_ERROR_STOP=1", "-c", greetings)...)
			return err
		})
	}
	if err != nil {
		p.stop()
		return nil, "", fmt.Errorf("it does not start: %w", err)
	}
	return p, fmt.Sprintf("host=%s user=%s dbname=postgres sslmode=disable", c.dir, postgresUser), nil
}

// awaitReady returns when the cluster takes connections.
func (c *cluster) awaitReady(ctx context.Context, p *process) error {
	deadline := time.Now().Add(startTimeout)
	for {
		if _, err := complete(c.program("pg_isready", "-q", "-h", c.dir)...); err == nil {
			return nil
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("it takes no connections after %v", startTimeout)
		}
		select {
		case <-p.exited:
			return p.failureToListen()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
