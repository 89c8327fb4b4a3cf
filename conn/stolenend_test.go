//go:build linux && (amd64 || arm64)

package conn_test

import (
	"testing"
	"time"

	"github.com/escahttp/esca/conn"
)

// A loop that is taken from its driver while that ends a worker, whose Handler takes its
// time over what it has left to do, ends all the same.
func TestStolenWhileAWorkerEnds(t *testing.T) {
	idle, ending, release := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	ln := listen(t, "tcp", "127.0.0.1:0", conn.WithLoops(1), conn.WithDispatch(conn.DispatchInline))
	err := ln.Start(serveFunc{serve: func(c *conn.Conn) {
		defer func() {
			close(ending)
			<-release
		}()
		for b := conn.BurstOf(c); b != nil; {
			b.Conn().Read(make([]byte, 1))
			b.Conn().Close()
			idle <- struct{}{}
			b, _ = b.Next()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	nc := dialed(t, ln)
	nc.Write([]byte("x"))
	sfWait(t, "the burst", idle)
	ln.Close()
	sfWait(t, "the worker's end", ending)
	before := ln.Stats()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		// The new driver has looked, and so parked.
		if st := ln.Stats(); st.Steals > before.Steals && st.Ticks > before.Ticks+1 && st.Open == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("nobody has taken the loop: %+v", ln.Stats())
		}
	}
	close(release)
	done := make(chan struct{})
	go func() { ln.Wait(); close(done) }()
	sfWait(t, "the end of the loop", done)
}
