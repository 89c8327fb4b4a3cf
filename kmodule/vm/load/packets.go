//go:build linux && amd64

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/escahttp/esca/conn"
	"github.com/escahttp/esca/poller"
)

const echoAddr = "127.0.0.1:8004"

// serveEcho answers each datagram with itself, and an empty one with its own counters.
func serveEcho() error {
	ln, err := conn.ListenPacket("udp4", echoAddr)
	if err != nil {
		return err
	}
	return ln.Serve(conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			if len(p.Data()) > 0 {
				p.Reply(p.Data())
				continue
			}
			b, err := json.Marshal(ln.Stats())
			if err != nil {
				panic(err)
			}
			p.Reply(b)
		}
	}))
}

// loadPackets has peers ask an echo: all send, and then all receive, so many times.
func loadPackets(peers, requests int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s, err := begin([]string{self, "-echo"})
	if err != nil {
		return err
	}
	defer s.end()
	asks, err := net.Dial("udp4", echoAddr) // for its counters, and whether it is there
	if err != nil {
		return err
	}
	look := func() (c counted, err error) {
		buf := make([]byte, 1<<16)
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			asks.Write(nil)
			asks.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, err := asks.Read(buf)
			if err == nil {
				c = s.look()
				return c, json.Unmarshal(buf[:n], &c.stats)
			}
			if time.Now().After(end) {
				return c, fmt.Errorf("the echo does not answer: %w", err)
			}
		}
	}
	if _, err := look(); err != nil {
		return err
	}
	var socks []net.Conn
	for range peers {
		c, err := net.Dial("udp4", echoAddr)
		if err != nil {
			return err
		}
		c.SetDeadline(time.Now().Add(10 * time.Minute))
		socks = append(socks, c)
	}
	if err := askAll(socks, 5); err != nil { // warm
		return err
	}
	before, err := look()
	if err != nil {
		return err
	}
	if err := askAll(socks, requests); err != nil {
		return err
	}
	after, err := look()
	if err != nil {
		return err
	}
	return judgePackets(uint64(peers*requests), before, after)
}

func askAll(socks []net.Conn, rounds int) error {
	data := make([]byte, 64)
	for range rounds {
		for _, c := range socks {
			if _, err := c.Write(data); err != nil {
				return err
			}
		}
		for _, c := range socks {
			if n, err := c.Read(data); err != nil || n != len(data) {
				return fmt.Errorf("an answer of %d bytes: %w", n, err)
			}
		}
	}
	return nil
}

// judgePackets prints what was counted between, for n datagrams, and says what does not agree.
func judgePackets(n uint64, before, after counted) error {
	per := func(from, to uint64) float64 { return float64(to-from) / float64(n) }
	fmt.Printf("%s: server CPU %d ns a datagram\n", os.Getenv(poller.EnvBackend), int((after.cpu-before.cpu).Nanoseconds())/int(n))
	fmt.Printf("datagrams %d: batches %.3f (module), ioctl %.3f, all calls %.3f a datagram; crossings %.3f and ticks %.3f by the server's count\n", n,
		per(before.batches, after.batches), per(before.ioctls, after.ioctls), per(before.crosses, after.crosses),
		per(before.stats.Crossings, after.stats.Crossings), per(before.stats.Ticks, after.stats.Ticks))
	if in := after.stats.PacketsIn - before.stats.PacketsIn; in < n {
		return fmt.Errorf("the server has counted %d datagrams", in)
	}
	if batches, ioctls := after.batches-before.batches, after.ioctls-before.ioctls; after.stats.Backend == "kmod" && (batches == 0 || !near(batches, ioctls)) {
		return fmt.Errorf("the module has counted %d batches, the kernel %d ioctl", batches, ioctls)
	}
	return nil
}
