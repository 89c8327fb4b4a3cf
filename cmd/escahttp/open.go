package main

import (
	"fmt"
	"net"
	"os"

	"github.com/escahttp/esca/cmd/escahttp/internal/terminal"
)

// show has requests shown, where there is somebody who looks.
func (s *serveCmd) show() {
	if s.Open && s.Log == "" && terminal.Is(os.Stdout) {
		s.Log, s.Format = "-", "terminal"
	}
}

// invite says where other devices find it, and shows that as a code for their cameras.
func (t *site) invite(all []listening) {
	for _, l := range all {
		url := outside(l.Addr(), l.secure, lanAddress())
		if url == "" {
			continue
		}
		t.out.Printf("other devices find it on %s", url)
		if !terminal.Is(os.Stdout) {
			return
		}
		if code, err := terminal.QR(url, terminal.Colours(os.Stdout)); err == nil {
			fmt.Print(code)
		}
		return
	}
	t.out.Printf("--open: no other device finds it: give an --addr that is not of this machine alone, such as :8080")
}

// outside is where other devices find what listens on addr, lan being the machine's address
// in their network; "" if they do not.
func outside(addr net.Addr, secure bool, lan net.IP) string {
	ta, ok := addr.(*net.TCPAddr)
	if !ok || ta.IP.IsLoopback() {
		return ""
	}
	ip := ta.IP
	if ip.IsUnspecified() {
		if ip = lan; ip == nil {
			return ""
		}
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s/", scheme, net.JoinHostPort(ip.String(), fmt.Sprint(ta.Port)))
}

// lanAddress is the address that the machine would use towards others; where it has no way
// out, the first that is not its own alone; nil if there is none.
func lanAddress() net.IP {
	// Nothing is sent: that only asks the kernel for the way.
	if c, err := net.Dial("udp4", "192.0.2.1:9"); err == nil {
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).IP
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP
		}
	}
	return nil
}
