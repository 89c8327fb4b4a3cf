//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// replica is one of several escahttp that serve the same.
type replica struct {
	*process
	name, addr, operators, root, log string
}

// run starts r, where it was before if it was.
func (r *replica) run(t *testing.T) {
	t.Helper()
	r.process = launch(t, nil, nil, "--addr="+r.addr, "--admin-addr="+r.operators, "--proxy-protocol", "--trusted-proxies=127.0.0.0/8", "--stop-delay=1s",
		"--header=** X-Replica: "+r.name, "--access-log="+r.log, r.root)
	r.addr, r.operators = r.process.addr, strings.TrimPrefix(r.admin(t), "http://")
}

// load is clients that ask for files, over and over.
type load struct {
	stop, done chan struct{}
	asked      atomic.Int64
	mu         sync.Mutex
	failed     []string
	byReplica  map[string]int64
	tags       map[string]string
}

// startLoad has clients ask url for files, whose contents are as they should be and whose
// tags are those of all replicas.
func startLoad(url string, files map[string][]byte, from net.IP) *load {
	l := &load{stop: make(chan struct{}), done: make(chan struct{}), byReplica: map[string]int64{}, tags: map[string]string{}}
	c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).DialContext, MaxIdleConnsPerHost: 8, DisableCompression: true,
	}}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				for name, content := range files {
					select {
					case <-l.stop:
						return
					default:
						l.ask(c, url, name, content)
					}
				}
			}
		})
	}
	go func() { all.Wait(); c.CloseIdleConnections(); close(l.done) }()
	return l
}

func (l *load) ask(c *http.Client, url, name string, content []byte) {
	resp, err := c.Get(url + name)
	var b []byte
	if err == nil {
		b, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	l.asked.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.failed = append(l.failed, err.Error())
		return
	case resp.StatusCode != http.StatusOK || string(b) != string(content):
		l.failed = append(l.failed, fmt.Sprintf("%s: %s, %d bytes", name, resp.Status, len(b)))
		return
	}
	l.byReplica[resp.Header.Get("X-Replica")]++
	tag := resp.Header.Get("ETag")
	if before, ok := l.tags[name]; tag == "" || ok && before != tag {
		l.failed = append(l.failed, fmt.Sprintf("%s: its tag is %q and %q", name, before, tag))
	}
	l.tags[name] = tag
}

// answersOf returns how much name has answered.
func (l *load) answersOf(name string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byReplica[name]
}

// takesPart waits until r has its share of the load.
func (l *load) takesPart(t *testing.T, r *replica) {
	t.Helper()
	before := l.answersOf(r.name)
	eventually(t, r.name+" takes part", func() bool { return l.answersOf(r.name) > before+20 })
}

// end ends the load, and says what has failed.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.failed); n > 0 {
		t.Errorf("%d of %d requests failed, such as %s", n, l.asked.Load(), l.failed[0])
	}
	t.Logf("%d requests, by replica: %v", l.asked.Load(), l.byReplica)
}

// haproxyBefore runs HAProxy, with the configuration in deploy, before all, and returns its
// address.
func haproxyBefore(t *testing.T, all []*replica) string {
	t.Helper()
	haproxy := have(t, "haproxy")
	b, err := os.ReadFile("deploy/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer ln.Close()
	pairs := []string{"bind :80", "bind fd@3", "check port 9090 inter 1s", "check inter 100ms"}
	for i, r := range all {
		_, port, _ := net.SplitHostPort(r.operators)
		pairs = append(pairs, fmt.Sprintf("10.0.0.%d:8080", 11+i), r.addr+" port "+port)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(b), pairs[i]) {
			t.Fatalf("%q is not in deploy/haproxy.cfg", pairs[i])
		}
	}
	name := t.TempDir() + "/haproxy.cfg"
	put(t, name, []byte(strings.NewReplacer(pairs...).Replace(string(b))))
	cmd := exec.Command(haproxy, "-db", "-f", name)
	cmd.ExtraFiles = []*os.File{f}
	log, err := os.Create(t.TempDir() + "/haproxy.log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("HAProxy says %s", b[max(0, len(b)-4000):])
		}
	})
	return ln.Addr().String()
}

// Three replicas behind HAProxy, under load: each is asked to stop and started anew, and
// one is killed. No request fails, all replicas give a file the same tag, and they know who the
// client is.
func TestReplicasBehindHAProxy(t *testing.T) {
	have(t, "haproxy")
	files := map[string][]byte{"/index.html": repeat('i', 500), "/app.js": repeat('j', 7000), "/data.bin": repeat('d', 100_000)}
	d := t.TempDir()
	var all []*replica
	for i := range 3 {
		// On addresses of their own nobody else takes their ports while they are down.
		at := fmt.Sprintf("127.25.%d.%d:0", os.Getpid()%250, 1+i)
		r := &replica{name: string(rune('a' + i)), addr: at, operators: at, root: filepath.Join(d, fmt.Sprint(i)), log: filepath.Join(d, fmt.Sprint(i, ".log"))}
		for name, content := range files {
			put(t, r.root+name, content)
			at := time.Unix(int64(1e9+i), 0)
			os.Chtimes(r.root+name, at, at)
		}
		r.run(t)
		all = append(all, r)
	}
	l := startLoad("http://"+haproxyBefore(t, all), files, net.IPv4(127, 0, 0, 77))
	for _, r := range all {
		l.takesPart(t, r)
	}
	for _, r := range all {
		r.Process.Signal(syscall.SIGTERM)
		if err := r.ended(t); err != nil {
			t.Errorf("%s: %v: %s", r.name, err, r.said())
		}
		r.run(t)
		l.takesPart(t, r)
	}
	l.end(t)
	// What has begun to be answered cannot be sent anew, and so what is killed serves only
	// what leaves in one piece.
	delete(files, "/data.bin")
	l = startLoad("http://"+haproxyBefore(t, all), files, net.IPv4(127, 0, 0, 77))
	for _, r := range all {
		l.takesPart(t, r)
	}
	all[1].Process.Kill()
	all[1].ended(t)
	others := l.answersOf("a")
	eventually(t, "the others go on", func() bool { return l.answersOf("a") > others+100 })
	all[1].run(t)
	l.takesPart(t, all[1])
	l.end(t)
	for _, r := range all {
		eventually(t, "the log says who", func() bool {
			b, _ := os.ReadFile(r.log)
			return strings.Contains(string(b), "127.0.0.77 - - [")
		})
	}
}

// What is in deploy names flags that there are.
func TestDeployNamesFlags(t *testing.T) {
	help, err := escahttp("serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("deploy/*")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	found := 0
	for _, name := range files {
		if fi, err := os.Stat(name); err == nil && fi.IsDir() {
			continue // what dpkg runs
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`ESCAHTTP_[A-Z_]+|--(?:admin|proxy|trusted|stop)-[a-z-]+`).FindAllString(string(b), -1) {
			if found++; !strings.Contains(string(help), m) {
				t.Errorf("%s: %s is no flag", name, m)
			}
		}
	}
	if found < 10 {
		t.Errorf("%d flags are named", found)
	}
}

// The image's program, built as the Dockerfile has it, runs in an empty root (make test-image builds the image
// itself), as a user who may nothing, with the image's
// environment.
func TestDockerfile(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("an empty root needs root")
	}
	b, err := os.ReadFile("deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	user := regexp.MustCompile(`(?m)^USER (\d+):\d+$`).FindSubmatch(b)
	cmd := regexp.MustCompile(`(?m)^CMD \["(.*)"\]$`).FindSubmatch(b)
	build := regexp.MustCompile(`(?m)CGO_ENABLED=0 (go build .*) -o /out/escahttp`).FindSubmatch(b)
	if user == nil || cmd == nil || build == nil {
		t.Fatalf("the Dockerfile is not as it was: %s", b)
	}
	root := t.TempDir()
	os.Chmod(root, 0o755)
	compile := exec.Command("sh", "-c", "CGO_ENABLED=0 "+string(build[1])+" -o "+root+"/escahttp .")
	compile.Env = append(os.Environ(), "VERSION=v0.0.0-image")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	put(t, root+string(cmd[1])+"/a.txt", []byte("from the image"))
	env := []string{}
	for _, m := range regexp.MustCompile(`(ESCAHTTP_[A-Z_]+=)(\S+)`).FindAllStringSubmatch(string(b), -1) {
		if strings.HasSuffix(m[2], "80") || strings.HasSuffix(m[2], "90") {
			m[2] = "127.0.0.1:0"
		}
		env = append(env, m[1]+m[2])
	}
	c := exec.Command("/escahttp", string(cmd[1]))
	var uid uint32
	fmt.Sscan(string(user[1]), &uid)
	c.Env, c.Dir = env, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	p := &process{Cmd: c, done: make(chan error, 1), log: t.TempDir() + "/log"}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	out, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c.Stderr, c.Stdout = log, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- c.Wait(); close(p.done) }()
	t.Cleanup(func() { c.Process.Kill(); <-p.done })
	p.await(t)
	if _, b := p.get(t, "/a.txt"); string(b) != "from the image" {
		t.Errorf("%q", b)
	}
	p.answers(t, []ask{{p.admin(t) + "/readyz", nil, 200, "ok", nil}, {p.admin(t) + "/healthz", nil, 200, "ok", nil}})
	eventually(t, "standard output is the access log", func() bool {
		b, _ := os.ReadFile(out.Name())
		return strings.Contains(string(b), `"GET /a.txt HTTP/1.1" 200 14`)
	})
	c.Process.Signal(syscall.SIGTERM)
	if err := p.ended(t); err != nil {
		t.Errorf("%v: %s", err, p.said())
	}
}
