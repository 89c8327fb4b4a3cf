//go:build linux

package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stuck returns an escahttp that something keeps from stopping. Each is a double
// of what happens to a server: a client, a disk or a log that does not go on.
var stuck = map[string]func(t *testing.T, args ...string) *process{
	"a client that has stopped reading": func(t *testing.T, args ...string) *process {
		d := t.TempDir()
		sparse(t, d+"/f", 1<<30)
		p := launch(t, nil, nil, append(args, d)...)
		c := stalledClient(t, p.addr)
		io.WriteString(c, "GET /f HTTP/1.1\r\nHost: h\r\n\r\n")
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		return p
	},
	"a disk that does not answer": func(t *testing.T, args ...string) *process {
		p := launch(t, nil, nil, append(args, t.TempDir())...)
		c := connect(t, p.addr)
		io.WriteString(c, "GET /on-a-disk-that-hangs HTTP/1.1\r\nHost: h\r\n\r\n")
		// Another request shows that this one is being served, and that it does
		// not keep its neighbours.
		p.get(t, "/")
		return p
	},
	"a log that nobody reads": func(t *testing.T, args ...string) *process {
		p, _ := stalledLog(t, args...)
		c := connect(t, p.addr)
		io.WriteString(c, "GET /on-a-disk-that-hangs HTTP/1.1\r\nHost: h\r\n\r\n")
		for range 10 {
			p.get(t, "/")
		}
		return p
	},
	"half a request": func(t *testing.T, args ...string) *process {
		p := launch(t, nil, nil, append(args, "--read-timeout=0", t.TempDir())...)
		io.WriteString(connect(t, p.addr), "GET / HTTP/1.1\r\nHo")
		p.get(t, "/")
		return p
	},
}

func sparse(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
}

// stalledClient is a connection that has little room for what it does not read.
func stalledClient(t *testing.T, addr string) net.Conn {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10) })
	}}
	c, err := dialer.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// fullPipe is a pipe that takes nothing more.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	w.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	for err == nil {
		_, err = w.Write(make([]byte, 4096))
	}
	return r, w
}

// stalledLog is an escahttp whose access log is a pipe that is full, and that
// nobody reads.
func stalledLog(t *testing.T, args ...string) (*process, *os.File) {
	t.Helper()
	r, w := fullPipe(t)
	defer w.Close()
	return launch(t, w, nil, append(args, "--access-log=-", t.TempDir())...), r
}

// needsDouble skips what needs a double in the program.
func needsDouble(t *testing.T, what string) {
	if program() != os.Args[0] && (strings.Contains(what, "disk") || strings.Contains(what, "log")) {
		t.Skip("the double of a disk is in the test binary only")
	}
}

// SIGTERM ends the server within the limit, whatever is stuck.
func TestStopEndsWithinTheLimit(t *testing.T) {
	for name, get := range stuck {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needsDouble(t, name)
			p := get(t, "--shutdown-timeout=500ms", "--write-timeout=0")
			p.Process.Signal(syscall.SIGTERM)
			if err := p.ended(t); err != nil {
				t.Errorf("%v; it said %s", err, p.said())
			}
			if !strings.Contains(p.said(), "stopped after 500ms: ") {
				t.Errorf("it said %q", p.said())
			}
		})
	}
}

// The second signal ends it at once.
func TestSecondSignalEnds(t *testing.T) {
	for name, get := range stuck {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needsDouble(t, name)
			p := get(t, "--shutdown-timeout=0", "--write-timeout=0")
			p.Process.Signal(syscall.SIGTERM)
			eventually(t, "it says that it stops", func() bool { return strings.Contains(p.said(), "stopping: ") })
			var err error
			eventually(t, "it ends", func() bool { // one that comes right behind the first is taken for the same
				p.Process.Signal(syscall.SIGTERM)
				select {
				case err = <-p.done:
					return true
				default:
					return false
				}
			})
			if err == nil || !strings.Contains(p.said(), "stopped at once") {
				t.Errorf("%v; it said %q", err, p.said())
			}
		})
	}
}

// A client that has stopped reading is cut off, in the clear and over TLS; the log
// says how much it was sent.
func TestStalledClient(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", encrypted), func(t *testing.T) {
			t.Parallel()
			d := t.TempDir()
			sparse(t, d+"/f", 1<<30)
			log := filepath.Join(t.TempDir(), "log")
			args := []string{"--write-timeout=300ms", "--access-log=" + log, d}
			if encrypted {
				certificate(t, d, "one")
				args = append(args, "--tls-cert="+d+"/c", "--tls-key="+d+"/k")
			}
			p := launch(t, nil, nil, args...)
			c := stalledClient(t, p.addr)
			if encrypted {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			}
			io.WriteString(c, "GET /f HTTP/1.1\r\nHost: h\r\n\r\n")
			eventually(t, "it is cut off", func() bool { return strings.Contains(p.said(), "takes nothing for 300ms: the connection is cut off") })
			if n, err := io.Copy(io.Discard, c); n > 1<<28 || err == nil {
				t.Errorf("the client got %d bytes, %v", n, err)
			}
			eventually(t, "the log says how much was sent", func() bool {
				b, _ := os.ReadFile(log)
				return strings.Contains(string(b), `"GET /f HTTP/1.1" 200 `) && !strings.Contains(string(b), " 1073741824\n")
			})
		})
	}
}

// One that reads steadily is not, though it takes longer than the limit.
func TestSteadyClient(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	const size = 20_000_000
	sparse(t, d+"/f", size)
	p := launch(t, nil, nil, "--write-timeout=2s", d)
	c := stalledClient(t, p.addr)
	io.WriteString(c, "GET /f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	n := 0
	for b := make([]byte, 100_000); ; time.Sleep(20 * time.Millisecond) {
		m, err := c.Read(b)
		n += m
		if err != nil {
			break
		}
	}
	if n < size {
		t.Errorf("%d of %d bytes; it said %s", n, size, p.said())
	}
}

// A request that trickles is answered with 408 when its time is up.
func TestTricklingRequest(t *testing.T) {
	t.Parallel()
	p := launch(t, nil, nil, "--read-timeout=300ms", t.TempDir())
	c := connect(t, p.addr)
	c.SetDeadline(time.Now().Add(time.Minute))
	quit := make(chan struct{})
	go func() {
		io.WriteString(c, "GET / HTTP/1.1\r\nX: ")
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
				io.WriteString(c, "x")
			case <-quit:
				return
			}
		}
	}()
	line, err := c.r.ReadString('\n')
	close(quit)
	if !strings.HasPrefix(line, "HTTP/1.1 408 ") {
		t.Errorf("%q, %v", line, err)
	}
}

// A SIGHUP that comes while the server starts is not its end, nor is a SIGUSR2. Here it
// starts as long as its certificate is being written.
func TestSignalsWhileItStarts(t *testing.T) {
	for signal, does := range map[syscall.Signal]string{syscall.SIGHUP: "reloaded: ", syscall.SIGUSR2: "upgraded: another process serves"} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			d := t.TempDir()
			certificate(t, d, "one")
			if err := syscall.Mkfifo(d+"/pipe", 0o600); err != nil {
				t.Fatal(err)
			}
			m := newManager(t)
			p := launchWith(t, []string{m.env()}, "--tls-cert="+d+"/pipe", "--tls-key="+d+"/k", d)
			var w *os.File
			eventually(t, "it reads the certificate", func() (ok bool) {
				var err error
				w, err = os.OpenFile(d+"/pipe", os.O_WRONLY|syscall.O_NONBLOCK, 0)
				return err == nil
			})
			p.Process.Signal(signal)
			b, err := os.ReadFile(d + "/c")
			if err != nil {
				t.Fatal(err)
			}
			os.Rename(d+"/c", d+"/pipe")
			w.Write(b)
			w.Close()
			first := m.ready()
			p.await(t)
			eventually(t, "it does what it was asked for", func() bool { return strings.Contains(p.said(), does) })
			if signal == syscall.SIGUSR2 {
				next := m.ready()
				t.Cleanup(func() { syscall.Kill(next, syscall.SIGKILL) })
				eventually(t, "the process before ends", func() bool { return endedPID(first) })
			}
			if name := presented(t, p.addr); name != "one" {
				t.Error(name)
			}
		})
	}
}

// And SIGTERM is.
func TestStopWhileItStarts(t *testing.T) {
	d := t.TempDir()
	if err := syscall.Mkfifo(d+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	p := begin(t, "--tls-cert="+d+"/pipe", "--tls-key="+d+"/k", d)
	eventually(t, "it reads the certificate", func() bool {
		w, err := os.OpenFile(d+"/pipe", os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			t.Cleanup(func() { w.Close() })
		}
		return err == nil
	})
	p.Process.Signal(syscall.SIGTERM)
	p.ended(t)
}

// Standard error that nobody reads keeps the server neither from starting nor from
// serving, nor from stopping.
func TestStandardErrorThatNobodyReads(t *testing.T) {
	t.Parallel()
	_, w := fullPipe(t)
	defer w.Close()
	sock := filepath.Join(t.TempDir(), "s")
	p := launch(t, nil, w, "--addr=unix:"+sock)
	for range 20 {
		var c net.Conn
		eventually(t, "it listens", func() (ok bool) {
			var err error
			c, err = net.Dial("unix", sock)
			return err == nil
		})
		c.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(c, "BAD\r\n\r\n") // a line on standard error
		if b, err := io.ReadAll(c); !strings.HasPrefix(string(b), "HTTP/1.1 400 ") {
			t.Fatalf("%q, %v", b, err)
		}
		c.Close()
	}
	p.Process.Signal(syscall.SIGTERM)
	if err := p.ended(t); err != nil {
		t.Error(err)
	}
}
