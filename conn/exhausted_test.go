//go:build linux && (amd64 || arm64)

package conn_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/escahttp/esca/conn"
)

// sfEnvChild holds the name of the test that the process was started for.
const sfEnvChild = "ESCA_CONN_CHILD"

// sfInChild runs fn in a process of its own: this test binary once more, with
// nothing but this test.
func sfInChild(t *testing.T, fn func(*testing.T)) {
	if os.Getenv(sfEnvChild) == t.Name() {
		fn(t)
		return
	}
	self, err := os.Executable()
	sfMust(t, err)
	parts := strings.Split(t.Name(), "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	cmd := exec.Command(self, "-test.run="+strings.Join(parts, "/"), "-test.v", "-test.count=1", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), sfEnvChild+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()+" ") {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
}

// sfLog hands out what is logged.
type sfLog chan string

func (l sfLog) Printf(format string, args ...any) {
	select {
	case l <- fmt.Sprintf(format, args...):
	default:
	}
}

// sfFill takes every descriptor that the process may still have.
func sfFill(t *testing.T) (fillers []int) {
	t.Helper()
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if errors.Is(err, unix.EMFILE) {
			return fillers
		}
		sfMust(t, err)
		fillers = append(fillers, fd)
	}
}

// sfCPU is the time that the process has computed for.
func sfCPU(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	sfMust(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestAcceptWithoutDescriptors has clients wait for a process that may open no
// more files. It keeps still meanwhile, though the sockets stay readable, and
// serves them as descriptors come free: some that others give up, then the rest.
func TestAcceptWithoutDescriptors(t *testing.T) {
	for _, tt := range []struct {
		name, network string
		loops         int
	}{
		{"tcp", "tcp", 1},
		{"tcp, more loops", "tcp", 3},
		{"unix", "unix", 1},
		{"unix, more loops", "unix", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // as each is a process of its own
			sfInChild(t, func(t *testing.T) { sfExhausted(t, tt.network, tt.loops) })
		})
	}
}

func sfExhausted(t *testing.T, network string, loops int) {
	sfMust(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 200, Max: 200}))
	log := make(sfLog, 1)
	ln := listen(t, network, sfAddr(t, network), conn.WithLoops(loops), conn.WithLogger(log))
	ended := sfEchoes(ln)
	first := sfDial(t, ln)
	sfEcho(t, first, "before") // whatever Go opens of its own is open now

	// The clients' sockets are made before the last descriptor is gone, and
	// connect after: the kernel takes them into its queue, and accept cannot.
	const clients = 10
	var socks []int
	for range clients {
		socks = append(socks, sfSocket(t, network))
	}
	fillers := sfFill(t)
	for _, s := range socks {
		sfMust(t, sfConnect(s, ln.Addr()))
	}
	line := sfWait(t, "the line that says so", log)
	if !strings.Contains(line, "pauses") || !strings.Contains(line, ln.Addr().String()) {
		t.Errorf("logged: %q", line)
	}

	// A second of that: one that spins needs most of a processor for it, and
	// ticks some hundred thousand times.
	ticks, cpu := ln.Stats().Ticks, sfCPU(t)
	<-time.After(time.Second)
	ticks, cpu = ln.Stats().Ticks-ticks, sfCPU(t)-cpu
	if ticks > 5000 || cpu > 500*time.Millisecond {
		t.Errorf("in a second of waiting: %d ticks, and %v of computing", ticks, cpu)
	}
	if st := ln.Stats(); st.Accepted != 1 {
		t.Errorf("%d accepted, and there are no descriptors", st.Accepted)
	}
	sfEcho(t, first, "meanwhile") // who is there is served on

	// Three come free. Who has been served leaves its descriptor to the next.
	for _, fd := range fillers[:3] {
		unix.Close(fd)
	}
	served := make(chan int, clients)
	for i, s := range socks {
		go func() {
			if err := sfRawEcho(s, fmt.Sprintf("client %d", i)); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			unix.Shutdown(s, unix.SHUT_WR) // the server closes its end
			served <- i
		}()
	}
	for range clients {
		sfWait(t, "a client's turn", served)
	}
	for _, s := range append(socks, fillers[3:]...) {
		unix.Close(s)
	}
	first.Close()
	ln.Close()
	if err := sfWait(t, "Accept", ended); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	sfEnds(t, ln)
}

// sfSocket is a blocking socket with a limit, that Go knows nothing of.
func sfSocket(t *testing.T, network string) int {
	t.Helper()
	domain := unix.AF_INET
	if network == "unix" {
		domain = unix.AF_UNIX
	}
	s, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	sfMust(t, err)
	limit := unix.NsecToTimeval(int64(patience))
	sfMust(t, unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	return s
}

func sfConnect(s int, a net.Addr) error {
	if a, ok := a.(*net.TCPAddr); ok {
		return unix.Connect(s, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())})
	}
	return unix.Connect(s, &unix.SockaddrUnix{Name: a.String()})
}

func sfRawEcho(s int, what string) error {
	if _, err := unix.Write(s, []byte(what)); err != nil {
		return err
	}
	got, b := "", make([]byte, len(what))
	for len(got) < len(what) {
		n, err := unix.Read(s, b)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return fmt.Errorf("%q, then %d, %v", got, n, err)
		}
		got += string(b[:n])
	}
	if got != what {
		return fmt.Errorf("%q, want %q", got, what)
	}
	return nil
}
