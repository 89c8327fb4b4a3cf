//go:build unix

package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/escahttp/esca/cmd/escahttp/internal/http1"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// The test binary is escahttp itself when it is told to be.
func TestMain(m *testing.M) {
	if os.Getenv("ESCAHTTP_TEST_MAIN") != "" {
		decider = func(d http1.Decider) http1.Decider { return &hangingDisk{d} }
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hangingDisk is a double of a disk that does not answer, for one file.
type hangingDisk struct{ http1.Decider }

func (d *hangingDisk) Decide(r static.Request, a *static.Answer) {
	if string(r.Path()) == "/on-a-disk-that-hangs" {
		select {}
	}
	d.Decider.Decide(r, a)
}

// program is what is tested: the test binary, or what ESCAHTTP_PROGRAM names, such
// as the one that make build makes, or one before.
func program() string {
	if name := os.Getenv("ESCAHTTP_PROGRAM"); name != "" {
		return name
	}
	return os.Args[0]
}

func escahttp(args ...string) *exec.Cmd {
	cmd := exec.Command(program(), args...)
	cmd.Env = append(os.Environ(), "ESCAHTTP_TEST_MAIN=1")
	return cmd
}

// started is an escahttp that serves.
type started struct {
	cmd *exec.Cmd
	url string
	err *bufio.Reader
}

func start(t *testing.T, env []string, args ...string) *started {
	t.Helper()
	cmd := escahttp(args...)
	cmd.Env = append(cmd.Env, env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	s := &started{cmd: cmd, err: bufio.NewReader(stderr)}
	line, err := s.err.ReadString('\n')
	if err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	s.url = regexp.MustCompile(`https?://[^ ,]*`).FindString(line)
	if s.url == "" && !strings.Contains(line, "unix:") || !strings.Contains(line, "Ctrl-C stops") {
		t.Fatalf("it says %q", line)
	}
	return s
}

func (s *started) stop(t *testing.T, sig os.Signal) {
	t.Helper()
	s.cmd.Process.Signal(sig)
	rest, _ := io.ReadAll(s.err)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after %v: %v, %s", sig, err, rest)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return string(b)
}

func TestServesAndStops(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "hello.txt"), []byte("hello"), 0o644)
	access := filepath.Join(t.TempDir(), "access.log")
	s := start(t, nil, "--addr=127.0.0.1:0", "--access-log="+access, "--access-log-format=combined", dir)
	if b := fetch(t, s.url+"hello.txt"); b != "hello" {
		t.Errorf("%q", b)
	}
	rotated := access + ".1"
	if err := os.Rename(access, rotated); err != nil {
		t.Fatal(err)
	}
	s.stop(t, syscall.SIGTERM)
	b, err := os.ReadFile(rotated)
	if want := regexp.MustCompile(`^127\.0\.0\.1 - - \[.*\] "GET /hello.txt HTTP/1.1" 200 5 "-" "Go-http-client/1.1"\n$`); err != nil || !want.Match(b) {
		t.Errorf("the access log says %q (%v)", b, err)
	}
}

func TestWelcomeAndEnvironment(t *testing.T) {
	s := start(t, []string{"ESCAHTTP_ADDR=127.0.0.1:0", "ESCAHTTP_BACKEND=direct", "ESCAHTTP_LOOPS=1"})
	if b := fetch(t, s.url); !strings.Contains(b, "esca is serving") {
		t.Errorf("%q", b)
	}
	s.stop(t, os.Interrupt)
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := start(t, nil, "--addr=unix:"+path)
	c := http.Client{Transport: &http.Transport{Dial: func(string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	resp, err := c.Get("http://x/style.css")
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	c.CloseIdleConnections()
	s.stop(t, syscall.SIGTERM)
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket's file is left")
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	used, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o644)
	busy := filepath.Join(t.TempDir(), "busy")
	ln, err := net.Listen("unix", busy)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	config := func(text string) string {
		name := filepath.Join(t.TempDir(), "c.toml")
		os.WriteFile(name, []byte(text), 0o644)
		return "--config=" + name
	}
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"flag", []string{"--nope"}, 2, "--nope"},
		{"two roots", []string{".", "."}, 2, "unexpected argument"},
		{"number", []string{"--loops=x"}, 2, "--loops=x: give a whole number"},
		{"size", []string{"--cache-size=1G"}, 2, "--cache-size=1G: give a whole number"},
		{"time", []string{"--read-timeout=30"}, 2, "--read-timeout=30: give a time with its unit"},
		{"no value", []string{"--addr"}, 2, "--addr needs a value: give --addr=VALUE"},
		{"a flag as a value", []string{"--addr", "--list"}, 2, "--addr needs a value, and --list is another flag"},
		{"another server's flag", []string{"--port=8080"}, 2, "--port: give HOST:PORT by --addr"},
		{"another server's command", []string{"help"}, 2, "or a command, which escahttp --help lists"},
		{"flag of check", []string{"check", "--nope"}, 2, "escahttp check --help"},
		{"no shell", []string{"completion"}, 2, "give bash, zsh or fish"},
		{"loops", []string{"--loops=-1"}, 2, "--loops=-1"},
		{"format", []string{"--access-log-format=x"}, 2, "common"},
		{"half of TLS", []string{"--tls-cert=x"}, 2, "--tls-key"},
		{"no root", []string{"/does/not/exist"}, 2, "/does/not/exist does not exist"},
		{"file as root", []string{file}, 2, "is not a directory"},
		{"port in use", []string{"--addr=" + used.Addr().String()}, 1, "in use"},
		{"address", []string{"--addr=nonsense"}, 2, "--addr=nonsense: give HOST:PORT"},
		{"no address", []string{"--addr="}, 2, "--addr="},
		{"port", []string{"--addr=127.0.0.1:99999"}, 2, "--addr=127.0.0.1:99999"},
		{"foreign address", []string{"--addr=192.0.2.1:0"}, 1, "--addr=192.0.2.1:0"},
		{"empty root", []string{""}, 2, "an argument is empty"},
		{"no archive", []string{"--archive-size=0"}, 2, "--archive-size=0: give a number of MiB"},
		{"negative limit", []string{"--max-conns-per-ip=-3"}, 2, "--max-conns-per-ip=-3"},
		{"large cache", []string{"--cache-size=99999999999999"}, 2, "--cache-size=99999999999999"},
		{"revalidate", []string{"--revalidate=-1s"}, 2, "--revalidate"},
		{"unix without a path", []string{"--addr=unix:"}, 2, "--addr=unix:"},
		{"unix, a file", []string{"--addr=unix:" + file}, 1, "is no socket"},
		{"unix, in use", []string{"--addr=unix:" + busy}, 1, "in use"},
		{"unix, no folder", []string{"--addr=unix:/no/such/s"}, 1, "/no/such/s"},
		{"socket mode", []string{"--addr=unix:" + file + ".s", "--socket-mode=999"}, 2, "0660"},
		{"socket mode of a port", []string{"--socket-mode=0600"}, 2, "unix:PATH"},
		{"cache rule", []string{"--cache-control=*.css"}, 2, "--cache-control: \"*.css\""},
		{"header rule", []string{"--header=** Connection: x"}, 2, "--header: "},
		{"origin", []string{"--cors=example.org"}, 2, "--cors: \"example.org\" is no origin"},
		{"error page", []string{"--error-page=404"}, 2, "--error-page: \"404\": give STATUS PAGE"},
		{"error page's status", []string{"--error-page=200 /x"}, 2, "from 400 to 599"},
		{"redirect", []string{"--redirect=/a"}, 2, "--redirect: \"/a\": give FROM TO"},
		{"redirect's host", []string{"--redirect=/a/* https://$1/"}, 2, "clients could choose"},
		{"redirect's status", []string{"--redirect=/a /b 200"}, 2, "307"},
		{"rewrite", []string{"--rewrite=~( /b"}, 2, "no regular expression"},
		{"rewrite's group", []string{"--rewrite=/a/* /$2"}, 2, "there is a $2, but the stars and groups of FROM are 1"},
		{"media type", []string{"--mime-type=foo text/plain"}, 2, "--mime-type: "},
		{"fallback", []string{"--spa=index.html"}, 2, "--spa=index.html"},
		{"index", []string{"--index=a/b"}, 2, "--index=a/b"},
		{"TLS without a certificate", []string{"--listen=https://:0"}, 2, "--listen=https://:0: TLS needs"},
		{"another address", []string{"--listen=nonsense"}, 2, "--listen=nonsense: give HOST:PORT"},
		{"another port in use", []string{"--addr=127.0.0.1:0", "--listen=" + used.Addr().String()}, 1, "choose another --listen"},
		{"HTTP/3 without TLS", []string{"--http3"}, 2, "--http3: nothing speaks TLS on a port here: give --tls-cert"},
		{"HTTP/3 on a socket", []string{"--http3", "--acme=example.org", "--addr=unix:/x"}, 2, "an --addr or --listen of HOST:PORT"},
		{"HTTP/3 by proxies", []string{"--http3", "--acme=example.org", "--proxy-protocol", "--trusted-proxies=private"}, 2, "--http3: clients come to it themselves"},
		{"redirect to nowhere", []string{"--https-redirect"}, 2, "--https-redirect leads nowhere"},
		{"redirect to no port", []string{"--https-redirect", "--https-port=70000"}, 2, "--https-port=70000"},
		{"proxies", []string{"--trusted-proxies=10.0.0.0/99"}, 2, "--trusted-proxies: \"10.0.0.0/99\" is no network"},
		{"PROXY from nobody", []string{"--proxy-protocol"}, 2, "give --trusted-proxies"},
		{"network", []string{"--deny=/a/** x"}, 2, "--deny: \"/a/** x\": \"x\" is no network"},
		{"no network", []string{"--allow=/a/**"}, 2, "is no network"},
		{"log level", []string{"--log-level=loud"}, 2, "give error, warning or info"},
		{"user", []string{"--user=no-such-user"}, 2, "--user: there is no user \"no-such-user\""},
		{"ACME names", []string{"--acme=*.example.org"}, 2, "--acme: \"*.example.org\": a wildcard cannot be had"},
		{"ACME without TLS", []string{"--acme=example.org", "--addr=http://:80"}, 2, "--acme: nothing speaks TLS here"},
		{"ACME server", []string{"--acme=example.org", "--acme-server=http://x"}, 2, "--acme-server=http://x: give the URL"},
		{"ACME without names", []string{"--acme-dir=x"}, 2, "give their names by --acme"},
		{"admin address", []string{"--admin-addr=x"}, 2, "--admin-addr=x: give HOST:PORT"},
		{"admin address in use", []string{"--addr=127.0.0.1:0", "--admin-addr=" + used.Addr().String()}, 1, "--admin-addr: "},
		{"no htpasswd", []string{"--basic-auth=/no/such"}, 2, "--basic-auth: "},
		{"htpasswd's hash", []string{"--basic-auth=/a/** " + file}, 2, "htpasswd -B"},
		{"rate", []string{"--rate-limit=20"}, 2, "--rate-limit: \"20\": 20 is no rate"},
		{"burst", []string{"--rate-limit=/a/** 20/s 0"}, 2, "0 is no number"},
		{"host", []string{"--host=example.org"}, 2, "--host: \"example.org\": give NAMES ROOT"},
		{"host's name", []string{"--host=exa/mple.org ."}, 2, "is no name of a host"},
		{"host twice", []string{"--host=a.org .", "--host=A.org ."}, 2, "is there twice"},
		{"host's root", []string{"--host=a.org /no/such"}, 2, "/no/such does not exist"},
		{"host's certificate", []string{"--host=a.org . c k"}, 2, "needs --tls-cert"},
		{"no config", []string{"--config=/no/c.toml"}, 2, "--config: open /no/c.toml"},
		{"config's syntax", []string{config("a = 1\nb = \n")}, 2, "c.toml, line 2"},
		{"config's key", []string{config("list = true\nadr = 1\n")}, 2, "c.toml, line 2: there is no key \"adr\": did you mean addr?"},
		{"config's value", []string{config("\nloops = \"x\"\n")}, 2, "c.toml, line 2)"},
		{"config's time", []string{config("\nread-timeout = 30\n")}, 2, "--read-timeout=30: give a time with its unit, such as 500ms, 30s or 5m ("},
		{"config's choice", []string{config("etag = \"x\"\n")}, 2, "c.toml, line 1)"},
		{"config's kind", []string{config("etag = {a = 1}\n")}, 2, "c.toml, line 1: etag: give text"},
		{"config's rule", []string{config("addr = \":0\"\nredirect = [\n\"/a\",\n]\n")}, 2, "c.toml, line 2)"},
		{"config's root", []string{config("root = \"/no/such\"\n")}, 2, "c.toml, line 1)"},
		{"check", []string{"check", config("root = \"/no/such\"\n")}, 2, "c.toml, line 1)"},
		{"check of a certificate", []string{"check", "--tls-cert=/no/c", "--tls-key=/no/k"}, 1, "--tls-cert"},
		{"etag", []string{"--etag=inode"}, 2, "auto"},
		{"coding", []string{"--compress=br,lzw"}, 2, "\"lzw\" is no coding"},
		{"coding twice", []string{"--compress=br,br"}, 2, "twice"},
		{"negative time", []string{"--write-timeout=-1s"}, 2, "--write-timeout"},
		{"backend", []string{"--backend=nope", "--addr=127.0.0.1:0"}, 2, "--backend=nope"},
		{"certificate", []string{"--addr=127.0.0.1:0", "--tls-cert=/no/c", "--tls-key=/no/k"}, 1, "--tls-cert"},
		{"access log", []string{"--access-log=/no/such/dir/log"}, 1, "/no/such/dir/log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := escahttp(tt.args...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			cmd.Run()
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			last := lines[len(lines)-1]
			if cmd.ProcessState.ExitCode() != tt.status || len(lines) != 1 || !strings.Contains(last, tt.says) || !strings.HasPrefix(last, "escahttp: ") {
				t.Errorf("status %d, %q; want %d and %q", cmd.ProcessState.ExitCode(), stderr.String(), tt.status, tt.says)
			}
		})
	}
}

func TestTold(t *testing.T) {
	for args, want := range map[string]string{"--version": `^escahttp \S+\n$`, "backends": `\ndirect: available\n$`} {
		if out, err := escahttp(args).Output(); err != nil || !regexp.MustCompile(want).Match(out) {
			t.Errorf("%s: %q, %v", args, out, err)
		}
	}
}
