//go:build linux

package main

import (
	"context"
	"fmt"
)

// upstream is a server that the servers of a comparison ask in their turn: one
// for all of them, in a process of its own.
type upstream struct {
	name string
	// start starts it, and says what the servers are to be told of where it is.
	start func(ctx context.Context, w *workshop) (*process, string, error)
}

// netEcho sends back what it is sent. Its one processor is enough for the
// questions there are, and it wakes no threads beside the servers'.
var netEcho = &upstream{name: "an echo in another process, asked over connections that are kept open", start: startNetEcho}

func startNetEcho(ctx context.Context, w *workshop) (*process, string, error) {
	bin, err := w.goBuild("bench/benchserver")
	if err != nil {
		return nil, "", err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	p, err := startProcess([]string{bin, "-runtime", "net-echo", "-addr", addr}, environment("GOMAXPROCS=1"), nil, nil)
	if err != nil {
		return nil, "", err
	}
	if err := p.awaitListening(ctx, addr); err != nil {
		p.stop()
		return nil, "", fmt.Errorf("it does not start: %w", err)
	}
	return p, addr, nil
}
