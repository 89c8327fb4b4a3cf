//go:build linux && (amd64 || arm64)

package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/server"
)

// slowClients is how many there are, if the limit of descriptors allows it.
const slowClients = 20_000

// After slow clients have left, the process has its memory back: what they had in a
// minute at the latest, without the application's doing anything for it.
func TestMemoryComesBack(t *testing.T) {
	if os.Getenv("ESCA_MEMORY_SERVER") != "" {
		serveSlowClients()
		return
	}
	if raceDetector {
		t.Skip("the race detector keeps a multiple of the memory for itself")
	}
	n := slowClients
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
		n = min(n, int(lim.Cur)-1000)
	}
	if testing.Short() {
		n = min(n, 4000)
	}
	s := startMemoryServer(t)
	for range 100 {
		s.get(t, "/ping")
	}
	before := s.resident(t)
	var clients []net.Conn
	for i := range n {
		c, err := net.Dial("tcp4", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// Some are in the middle of a request, some of its body, some do not read what they get.
		request := [...]string{
			"GET /ping HTTP/1.1\r\nHost: slow",
			"POST /ping HTTP/1.1\r\nHost: slow\r\nContent-Length: 10000\r\n\r\n" + strings.Repeat("x", 5000),
			"GET /long HTTP/1.1\r\nHost: slow\r\n\r\n",
		}[i%3]
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	for end := time.Now().Add(patience); s.get(t, "/open") != strconv.Itoa(n+1); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s connections are open of %d", s.get(t, "/open"), n+1)
		}
	}
	peak := s.resident(t)
	for _, c := range clients {
		c.Close()
	}
	left := time.Now()
	for traced := os.Getenv("ESCA_MEMORY_TRACE") != ""; ; time.Sleep(time.Second) {
		now := s.resident(t)
		since := time.Since(left).Round(time.Second)
		if now <= before+20<<20 && (!traced || since > patience-5*time.Second) {
			t.Logf("%d clients: %d MiB before, %d MiB with them, %d MiB %v after", n, before>>20, peak>>20, now>>20, since)
			break
		}
		if since > patience {
			t.Fatalf("%d clients: %d MiB before, %d MiB with them, %d MiB still after %v", n, before>>20, peak>>20, now>>20, since)
		}
		if traced {
			t.Logf("%v: %d MiB; %s", since, now>>20, s.get(t, "/memory"))
		}
	}
	if got := s.get(t, "/ping"); got != "pong" {
		t.Errorf("then it answers %q", got)
	}
}

// memoryServer is a server in a process of its own.
type memoryServer struct {
	cmd  *exec.Cmd
	addr string
	http http.Client
}

func startMemoryServer(t *testing.T) *memoryServer {
	cmd := exec.Command(os.Args[0], "-test.run=^TestMemoryComesBack$")
	cmd.Env = append(os.Environ(), "ESCA_MEMORY_SERVER=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &memoryServer{cmd: cmd}
	t.Cleanup(func() {
		s.http.CloseIdleConnections()
		in.Close() // its end
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	s.addr = strings.TrimSpace(line)
	return s
}

func (s *memoryServer) get(t *testing.T, path string) string {
	t.Helper()
	resp, err := s.http.Get("http://" + s.addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// resident is how many bytes of memory the process has.
func (s *memoryServer) resident(t *testing.T) int {
	t.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// serveSlowClients is the process, until its input ends.
func serveSlowClients() {
	ln, err := conn.Listen("tcp4", "127.0.0.1:0", conn.WithLoops(2))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	long := bytes.Repeat([]byte("esca"), 16<<10)
	var srv *server.Server
	srv = server.New(&fasthttp.Server{Logger: quiet{}, Handler: func(ctx *fasthttp.RequestCtx) {
		switch string(ctx.Path()) {
		case "/ping":
			ctx.SetBodyString("pong")
		case "/long":
			ctx.SetBody(long)
		case "/open":
			fmt.Fprint(ctx, srv.Stats().Open)
		case "/memory":
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			st := srv.Stats()
			fmt.Fprintf(ctx, "%d workers, goroutines %d; heap in use %d, idle %d, released %d, stacks %d, spans %d, collector %d, other %d, %d collections", st.Workers, runtime.NumGoroutine(),
				m.HeapInuse>>10, (m.HeapIdle)>>10, m.HeapReleased>>10, m.StackSys>>10, (m.MSpanSys+m.MCacheSys)>>10, m.GCSys>>10, m.OtherSys>>10, m.NumGC)
		}
	}})
	fmt.Println(ln.Addr())
	go srv.Serve(ln)
	io.Copy(io.Discard, os.Stdin)
}
