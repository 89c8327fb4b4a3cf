package peers

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/escahttp/esca/conn"
)

const patience = 30 * time.Second

// answer is a zone of its own: each name has the address that is its number.
func answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	var n uint32
	if _, err := fmt.Sscanf(q.Question[0].Name, "host%d.example.", &n); err != nil {
		m.Rcode = dns.RcodeNameError
		w.WriteMsg(m)
		return
	}
	switch q.Question[0].Qtype {
	case dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
			A:   net.IPv4(10, byte(n>>16), byte(n>>8), byte(n)),
		})
	case dns.TypeTXT:
		for i := range 20 {
			m.Answer = append(m.Answer, &dns.TXT{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60},
				Txt: []string{fmt.Sprintf("line %d of host %d", i, n)},
			})
		}
	}
	w.WriteMsg(m)
}

// serveDNS has miekg/dns's server on pc until the test is over.
func serveDNS(t *testing.T, pc net.PacketConn) string {
	t.Helper()
	started := make(chan struct{})
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(answer), NotifyStartedFunc: func() { close(started) }}
	ended := make(chan error, 1)
	go func() { ended <- s.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		s.Shutdown()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return pc.LocalAddr().String()
}

// The same server on package net and on esca gives the same answers.
func TestDNS(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := conn.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	compareDNS(t, serveDNS(t, pc), serveDNS(t, ln))
}

// And so does one that is a PacketHandler, on the loops.
func TestDNSOnLoops(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := conn.ListenPacket("udp", "127.0.0.1:0", conn.WithLoops(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Start(conn.PacketHandlerFunc(func(p *conn.Packets) {
		for p.Next() {
			q := new(dns.Msg)
			if q.Unpack(p.Data()) == nil {
				answer(&writer{p: p}, q)
			}
		}
	})); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	compareDNS(t, serveDNS(t, pc), ln.LocalAddr().String())
	if s := ln.Stats(); s.PacketsDropped > 0 {
		t.Errorf("%+v", s)
	}
}

// writer is a dns.ResponseWriter that answers a datagram of a loop's.
type writer struct {
	dns.ResponseWriter
	p *conn.Packets
}

func (w *writer) WriteMsg(m *dns.Msg) error {
	b, err := m.Pack()
	if err == nil {
		w.p.Reply(b)
	}
	return err
}

// compareDNS puts the same questions to both, from several clients at once.
func compareDNS(t *testing.T, a, b string) {
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			client := &dns.Client{Net: "udp", Timeout: patience, UDPSize: 4096}
			for i := range 100 {
				name := fmt.Sprintf("host%d.example.", c*1000+i)
				kind := dns.TypeA
				switch i % 10 {
				case 3:
					kind = dns.TypeTXT
				case 7:
					name = fmt.Sprintf("nobody%d.example.", i)
				}
				q := new(dns.Msg)
				q.SetQuestion(name, kind)
				q.Id = uint16(c*1000 + i)
				var got [2]string
				for k, addr := range []string{a, b} {
					m, _, err := client.Exchange(q, addr)
					if err != nil {
						t.Errorf("%s of %s: %v", name, addr, err)
						return
					}
					got[k] = m.String()
				}
				if got[0] != got[1] {
					t.Errorf("%s: package net's answer is\n%s\nesca's\n%s", name, got[0], got[1])
				}
			}
		})
	}
	wg.Wait()
}
