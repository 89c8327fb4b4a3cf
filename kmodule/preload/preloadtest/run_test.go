//go:build linux && amd64

package preloadtest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What esca-run is asked wrongly it says in a line, with the remedy.
func TestRunIsCalledWrongly(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		status int
		says   string
	}{
		{nil, 2, "esca-run: no program is named: give PROGRAM"},
		{[]string{"--nope", "true"}, 2, "esca-run: there is no option --nope"},
		{[]string{"--executor", "plain", "true"}, 2, "esca-run: --executor needs a value"},
		{[]string{"/no/such"}, 127, "esca-run: there is no program /no/such"},
	} {
		cmd := exec.Command(filepath.Join(built, "esca-run"), tt.args...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		cmd.Run()
		if s := stderr.String(); cmd.ProcessState.ExitCode() != tt.status || !strings.HasPrefix(s, tt.says) || strings.Count(s, "\n") != 1 {
			t.Errorf("%v: status %d, %q", tt.args, cmd.ProcessState.ExitCode(), s)
		}
	}
	if out, err := exec.Command(filepath.Join(built, "esca-run"), "--help").Output(); err != nil || !strings.HasPrefix(string(out), "usage: esca-run ") {
		t.Errorf("--help: %v, %q", err, out)
	}
}
