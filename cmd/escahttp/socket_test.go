//go:build linux

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What a dead server has left is replaced, and the socket has the rights that it
// is given.
func TestSocketOfADeadServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for i, args := range [][]string{nil, {"--socket-mode=0660"}, {"--socket-mode=0600"}, {"--socket-mode=0777"}} {
		p := launch(t, nil, nil, append(args, "--addr=unix:"+path)...)
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if resp, _, err := exchange(c, "/style.css"); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		c.Close()
		fi, err := os.Lstat(path)
		if want := []os.FileMode{0, 0o660, 0o600, 0o777}[i]; err != nil || want != 0 && fi.Mode().Perm() != want {
			t.Errorf("%v: %v, %v", args, fi.Mode(), err)
		}
		p.Process.Signal(syscall.SIGKILL)
		p.ended(t)
		if _, err := os.Lstat(path); err != nil {
			t.Fatal("a server that is killed has removed its socket")
		}
	}
}

// What is no socket, or somebody's, is not touched.
func TestSocketsOfOthers(t *testing.T) {
	d := t.TempDir()
	put(t, d+"/file", []byte("precious"))
	os.Mkdir(d+"/dir", 0o755)
	os.Symlink(d+"/file", d+"/link")
	ln, err := net.Listen("unix", d+"/live")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for name, says := range map[string]string{"file": "is no socket", "dir": "is no socket", "link": "is no socket", "live": "is in use by another program"} {
		out, err := escahttp("--addr=unix:" + d + "/" + name).CombinedOutput()
		if err == nil || !strings.Contains(string(out), says) || strings.Count(string(out), "\n") != 1 || strings.Contains(string(out), "left") {
			t.Errorf("%s: %v, %q", name, err, out)
		}
		if _, err := os.Lstat(d + "/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, _ := os.ReadFile(d + "/file"); string(b) != "precious" {
		t.Errorf("%q", b)
	}
}
