//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestConfigFile(t *testing.T) {
	d := t.TempDir()
	put(t, d+"/site/a.txt", []byte("a"))
	put(t, d+"/c.toml", fmt.Appendf(nil, "root = %q\naddr = '127.0.0.1:0'\nlist = true\nheader = ['** X-One: file', '** X-Two: file']\nserver-header = 'file'\n", d+"/site"))
	t.Setenv("ESCAHTTP_SERVER_HEADER", "environment")
	s := start(t, nil, "--config="+d+"/c.toml", "--header=** X-One: flag")
	resp, err := http.Get(s.url)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	fields(t, "what is given otherwise comes first", resp, 200, "X-One", "flag", "X-Two", "", "Server", "environment")
	if !strings.Contains(string(b), "a.txt") {
		t.Errorf("%s", b)
	}
	s.stop(t, syscall.SIGTERM)
	if out, err := escahttp("check", "--config="+d+"/c.toml").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), d+"/c.toml: good: ") {
		t.Errorf("%s, %v", out, err)
	}
}

// The configuration is read again, when it changes and on SIGHUP, while requests come: not
// one is lost. One that is wrong leaves the one before.
func TestConfigIsReloaded(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	put(t, d+"/site/a.txt", repeat('a', 100_000))
	write := func(text string) {
		t.Helper()
		put(t, d+"/new", fmt.Appendf(nil, "root = %q\n%s\n", d+"/site", text))
		if err := os.Rename(d+"/new", d+"/c.toml"); err != nil {
			t.Fatal(err)
		}
	}
	write("header = '** X-Version: 0'")
	p := launch(t, nil, nil, "--config="+d+"/c.toml", "--access-log="+d+"/log")
	var stop atomic.Bool
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			c := http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			for !stop.Load() {
				resp, err := c.Get("http://" + p.addr + "/a.txt")
				if err != nil {
					t.Errorf("a request is lost: %v", err)
					return
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || n != 100_000 || resp.StatusCode != 200 {
					t.Errorf("an answer is lost: %s, %d bytes, %v", resp.Status, n, err)
					return
				}
			}
		})
	}
	version := func() string {
		r, _ := p.get(t, "/a.txt")
		return r.Header.Get("X-Version")
	}
	for i := 1; i <= 5; i++ {
		want := fmt.Sprint(i)
		write("header = '** X-Version: " + want + "'")
		if i%2 == 0 {
			p.Process.Signal(syscall.SIGHUP)
		}
		eventually(t, "it is read again", func() bool { return version() == want })
	}
	write("header = '** X-Version'")
	eventually(t, "it says what is wrong", func() bool {
		return strings.Contains(p.said(), "the configuration is the one before: --header: \"** X-Version\"") && strings.Contains(p.said(), "c.toml, line 2)")
	})
	if v := version(); v != "5" {
		t.Errorf("then it is version %s", v)
	}
	write("header = '** X-Version: 6'\nloops = 1")
	eventually(t, "it is read again", func() bool { return version() == "6" })
	eventually(t, "it says what takes a restart", func() bool { return strings.Contains(p.said(), "--loops: a change of that takes a restart") })
	stop.Store(true)
	clients.Wait()
}
