//go:build linux

// Command vmload is the guest's load: it runs a hello server on the backend that
// ESCA_BACKEND names, in a process of its own, and compares how often the server
// says that it crossed into the kernel with what the kernel has counted.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/escahttp/esca/poller"
)

func main() {
	probe := flag.Bool("probe", false, "print what every backend's probe answers, and which one auto chooses")
	flag.Parse()
	if *probe {
		for _, p := range poller.Probes() {
			fmt.Println(p)
		}
		_, why, err := poller.Choose("auto")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(why)
	}
}
