//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The driver must not come into what users of the project require.
func TestDriverIsInItsOwnModule(t *testing.T) {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "jackc") {
		t.Error("go.mod requires pgx, which only " + postgresServer + " is to")
	}
}

// The server that is a module of its own builds with the project as it is: if
// not, what the project requires has changed, and `go mod tidy` there mends it.
func TestPostgresServerBuilds(t *testing.T) {
	postgresServerIn(t, shopOf(t))
}

func postgresServerIn(t *testing.T, w *workshop) {
	t.Helper()
	if _, err := w.goBuildModule(postgresServer); err != nil {
		t.Fatalf("%v (run go mod tidy in %s)", err, postgresServer)
	}
}

// shopOf is a workshop that another user can reach, unlike a test's own directory.
func shopOf(t *testing.T) *workshop {
	t.Helper()
	w, err := newWorkshop()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// The cluster starts twice with the same data, and both runtimes have from it
// what they answer.
func TestPostgres(t *testing.T) {
	w := shopOf(t)
	if _, err := findPostgres(debianPostgres); err != nil {
		if strings.Contains(","+os.Getenv("ESCA_REQUIRE")+",", ",postgres,") {
			t.Fatal(err)
		}
		t.Skip(err, "; bench leaves out what needs it")
	}
	postgresServerIn(t, w)
	c := named(t, "postgres/procs2")
	r := testRunner(t, 0)
	r.shop = w
	for range 2 {
		p, addr, err := startPostgres(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		c.asks = addr
		var reference *answers
		for _, s := range []*server{escaPostgres("direct"), onPostgres(fasthttpServer, "fasthttp", "")} {
			srv, err := r.start(t.Context(), &c, s)
			if err != nil {
				t.Fatal(err)
			}
			if err := srv.check(&c, &reference); err != nil {
				t.Error(err)
			}
			srv.stop()
		}
		p.stop()
		if st := p.cmd.ProcessState; !st.Success() || st.Sys().(syscall.WaitStatus).Signaled() {
			t.Errorf("it has not shut down in order: %v: %s", st, lastLine(p.stderr.String()))
		}
	}
}

func TestFindPostgres(t *testing.T) {
	root := t.TempDir()
	_, err := findPostgres(root)
	var not missingError
	if !errors.As(err, &not) || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Error(err)
	}
	for _, file := range []string{"9/bin/postgres", "15/bin/postgres", "17/bin/psql", "old/bin/postgres"} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if bin, err := findPostgres(root); err != nil || bin != filepath.Join(root, "15", "bin") {
		t.Errorf("%s, %v", bin, err)
	}
}
