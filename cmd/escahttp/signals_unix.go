//go:build unix

package main

import (
	"os"
	"syscall"
)

// upgradeSignals ask that another process take the place of this one.
var upgradeSignals = []os.Signal{syscall.SIGUSR2}
