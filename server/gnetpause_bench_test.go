//go:build linux && (amd64 || arm64)

package server_test

import (
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// BenchmarkPausedRelay has a fast sender and a receiver that takes 64 KiB every two
// milliseconds, b.N times: without anything in between, and behind a relay that pauses
// the sender. It tells what the receiver gets, which is to be the same, and how much waited
// in the relay at most, which does not depend on b.N (and is not of its buffers in the kernel).
func BenchmarkPausedRelay(b *testing.B) {
	const piece, every = 64 << 10, 2 * time.Millisecond
	receive := func(b *testing.B, from io.Writer, to io.Reader) {
		go io.Copy(struct{ io.Writer }{from}, &counted{rand: rand.NewChaCha8([32]byte{1}), left: 1 << 50})
		b.SetBytes(piece)
		b.ResetTimer()
		next := time.Now()
		for range b.N {
			if _, err := io.CopyN(io.Discard, to, piece); err != nil {
				b.Fatal(err)
			}
			next = next.Add(every)
			time.Sleep(time.Until(next))
		}
		b.StopTimer()
	}
	b.Run("nothing", func(b *testing.B) {
		ln, sinks := sink(b)
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		receive(b, c, got(b, "the connection", sinks))
	})
	b.Run("relay", func(b *testing.B) {
		ln, sinks := sink(b)
		r := &countedRelay{upstream: ln.Addr()}
		on := start(b, onEsca(""), r.app(), []string{"tcp"}, gnet.WithSocketSendBuffer(128<<10))
		receive(b, on.dial(0), got(b, "the upstream's connection", sinks))
		b.ReportMetric(float64(r.most.Load())/1024, "KiB-waited-at-most")
		b.ReportMetric(float64(r.paused.Load())/float64(b.N), "pauses/op")
	})
}
