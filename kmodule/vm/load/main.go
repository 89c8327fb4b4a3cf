//go:build linux && amd64

// Command vmload loads a server on the backend that ESCA_BACKEND names, in a
// process of its own, and compares what three parties count of it: the server
// (Stats), the module (debugfs) and the kernel (tracepoints).
//
//	vmload [-conns N] [-requests N]      a hello server of its own
//	vmload -root DIR -server ESCAHTTP    escahttp, serving DIR/index.html
//	vmload -peers N [-requests N]        an echo of datagrams of its own, 64 B
//	vmload -addr ADDR COMMAND ...        any server, started by COMMAND, that listens there
//	vmload -slow DISK -server ESCAHTTP   escahttp, serving a disk that takes long
//	vmload -probe                        what every backend's probe answers
//
// It fails if they disagree, if a tick takes more than one crossing, but for those that let
// others run first, or if an answer is not whole; with a slow disk, if that keeps others waiting.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/escahttp/esca/poller"
)

func main() {
	probe := flag.Bool("probe", false, "print what every backend's probe answers, and which one auto chooses")
	serve := flag.Bool("serve", false, "be the hello server")
	echo := flag.Bool("echo", false, "be the echo of datagrams")
	peers := flag.Int("peers", 0, "how many `peers` send a datagram at once, and wait for their answers")
	slow := flag.String("slow", "", "`disk`, with a file system on it, that is to be slow")
	var l load
	flag.StringVar(&l.server, "server", "", "`path` of escahttp (default: a hello server)")
	flag.StringVar(&l.root, "root", "", "`directory` that escahttp serves")
	flag.StringVar(&l.addr, "addr", "", "`host:port` at which the command's server listens")
	flag.IntVar(&l.conns, "conns", 32, "connections")
	flag.IntVar(&l.requests, "requests", 100, "requests on each connection")
	flag.Parse()
	l.command = flag.Args()
	var err error
	switch {
	case *probe:
		err = printProbes()
	case *serve:
		err = serveHello()
	case *echo:
		err = serveEcho()
	case *peers > 0:
		err = loadPackets(*peers, l.requests)
	case *slow != "":
		err = slowDisk(l.server, *slow)
	default:
		err = l.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vmload:", err)
		os.Exit(1)
	}
}

func printProbes() error {
	for _, p := range poller.Probes() {
		fmt.Println(p)
	}
	_, why, err := poller.Choose("auto")
	fmt.Println(why)
	return err
}
