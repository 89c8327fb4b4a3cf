//go:build linux && (amd64 || arm64)

package conn_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/escahttp/esca/conn"
)

// Sockets go from one Listener to another, as from process to process: while connections
// are made one after the other, each is served, and when the first has closed the second
// serves alone.
func TestFilesGoOn(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, loops := range []int{1, 2} {
			for _, then := range []int{1, 3} {
				t.Run(fmt.Sprint(network, loops, then), func(t *testing.T) {
					addr := "127.0.0.1:0"
					if network == "unix" {
						addr = filepath.Join(t.TempDir(), "s")
					}
					first, err := conn.Listen(network, addr, conn.WithLoops(loops))
					sfMust(t, err)
					addr = first.Addr().String()
					serve := func(ln *conn.Listener, say string) {
						go ln.Serve(serveFunc{serve: func(c *conn.Conn) {
							io.WriteString(c, say)
							c.Close()
						}})
					}
					serve(first, "first")
					ask := func() string {
						c, err := net.Dial(network, addr)
						sfMust(t, err)
						defer c.Close()
						io.WriteString(c, "x")
						b, err := io.ReadAll(c)
						if err != nil || len(b) == 0 {
							t.Fatalf("%q, %v", b, err)
						}
						return string(b)
					}
					if s := ask(); s != "first" {
						t.Fatal(s)
					}
					files, err := first.Files()
					sfMust(t, err)
					second, err := conn.FromFiles(files, conn.WithLoops(then))
					sfMust(t, err)
					for _, f := range files {
						f.Close()
					}
					if want := max(then, len(files)); second.Loops() != want || second.Addr().String() != addr {
						t.Errorf("%d loops at %v, want %d at %s", second.Loops(), second.Addr(), want, addr)
					}
					serve(second, "second")
					for range 20 {
						ask()
					}
					first.SetUnlinkOnClose(false)
					second.SetUnlinkOnClose(true)
					sfMust(t, first.Close())
					for range 100 {
						ask()
					}
					first.Wait()
					if s := ask(); s != "second" {
						t.Error(s)
					}
					sfMust(t, second.Close())
					second.Wait()
					if _, err := os.Stat(addr); err == nil {
						t.Error("the socket's file is still there")
					}
				})
			}
		}
	}
	if _, err := conn.FromFiles(nil); err == nil {
		t.Error("no socket is one")
	}
	f, err := os.Open(os.DevNull)
	sfMust(t, err)
	defer f.Close()
	if _, err := conn.FromFiles([]*os.File{f}); err == nil {
		t.Error("a file is a socket")
	}
}
