//go:build linux

package pollertest

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// envChild holds the name of the test that the process was started for.
const envChild = "ESCA_POLLERTEST_CHILD"

// isChild reports whether this is the process that child made for the test.
func (r *rig) isChild() bool { return os.Getenv(envChild) == r.Name() }

// child is a process of its own for the test: this binary once more, with nothing
// but this test, and no timer of package testing's.
func child(ctx context.Context, r *rig) *exec.Cmd {
	r.Helper()
	self, err := os.Executable()
	r.must(err)
	parts := strings.Split(r.Name(), "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	cmd := exec.CommandContext(ctx, self, "-test.run="+strings.Join(parts, "/"), "-test.v", "-test.count=1", "-test.timeout=0")
	cmd.Env = append(os.Environ(), envChild+"="+r.Name())
	return cmd
}

// passed fails unless the child said that the test has passed.
func (r *rig) passed(out string, err error) {
	r.Helper()
	if err != nil || !strings.Contains(out, "--- PASS: "+r.Name()+" ") {
		r.Errorf("in a process of its own: %v\n%s", err, out)
	}
}

// inChild runs fn in a process of its own.
func inChild(r *rig, fn func(*rig)) {
	r.Helper()
	if r.isChild() {
		fn(r)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	out, err := child(ctx, r).CombinedOutput()
	r.passed(string(out), err)
}
