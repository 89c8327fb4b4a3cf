//go:build linux

package serving

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/poller"
)

// sentByFile is more than what fasthttp keeps in memory of a file.
const sentByFile = 20 << 10

// A file on a slow disk comes whole, and not before the disk has it, whichever
// way its server sends it.
func TestSlowFile(t *testing.T) {
	root := t.TempDir()
	want := bytes.Repeat([]byte("slow"), sentByFile/4)
	slow := filepath.Join(root, "slow.bin")
	if err := os.WriteFile(slow, want, 0o644); err != nil {
		t.Fatal(err)
	}
	fs := func() *fasthttp.Server {
		return &fasthttp.Server{Handler: (&fasthttp.FS{Root: root}).NewRequestHandler()}
	}
	cfg := Config{Addr: "127.0.0.1:0", Root: root, SlowFile: slow}
	services := map[string]Service{"fasthttp": Fasthttp(fs())}
	for _, p := range poller.Probes() {
		if p.Status == poller.Available {
			services[p.Name] = Esca(fs())
		}
	}
	for name, svc := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := cfg
			if name != "fasthttp" {
				cfg.Backend = name
			}
			ended, ready := make(chan error, 1), make(chan string, 1)
			go func() { ended <- svc.Serve(cfg, func(addr string) { ready <- addr }) }()
			var addr string
			select {
			case addr = <-ready:
			case err := <-ended:
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			began := time.Now()
			resp, err := client.Get("http://" + addr + "/slow.bin")
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes, %v", resp.Status, len(got), err)
			}
			if took := time.Since(began); took < SlowDisk {
				t.Errorf("it took %v, and the disk takes %v", took, SlowDisk)
			}
			if err := svc.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// Only a sendfile of that file is slow.
func TestIsSlow(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) (string, uint64) {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f.Name(), uint64(f.Fd())
	}
	path, slow := open("slow")
	_, other := open("other")
	b := &slowBackend{path: path}
	for _, tc := range []struct {
		name string
		e    poller.Entry
		want bool
	}{
		{"of the file", poller.Entry{NR: unix.SYS_SENDFILE, Args: [6]uint64{other, slow}}, true},
		{"of another", poller.Entry{NR: unix.SYS_SENDFILE, Args: [6]uint64{slow, other}}, false},
		{"of none", poller.Entry{NR: unix.SYS_SENDFILE, Args: [6]uint64{slow, 1 << 30}}, false},
		{"another call", poller.Entry{NR: unix.SYS_SENDTO, Args: [6]uint64{other, slow}}, false},
	} {
		if got := b.isSlow(&tc.e); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
