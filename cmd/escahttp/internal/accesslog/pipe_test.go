//go:build unix

package accesslog

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A pipe is opened without waiting for its reader.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, "common", t.Logf); err == nil || !strings.Contains(err.Error(), "start its reader first") {
		t.Errorf("without a reader: %v", err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, err := Open(path, "common", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	l.Start(&Record{Time: when, Status: 200}).Finish(1)
	l.Close(30 * time.Second)
	if line, err := bufio.NewReader(r).ReadString('\n'); !strings.HasSuffix(line, " 200 1\n") {
		t.Errorf("%q, %v", line, err)
	}
}
