//go:build linux

package main

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// modeSwitch is what entering and leaving the kernel costs here.
type modeSwitch struct {
	Nanoseconds float64 `json:"ns"` // of a getppid, the fastest of many batches
}

func (m modeSwitch) String() string {
	return fmt.Sprintf("a getppid, that is a mode switch and little more: %.0f ns", m.Nanoseconds)
}

// measureSwitch takes the fastest of many short batches, as nothing but this
// machine's other work makes one slower.
func measureSwitch() (m modeSwitch, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const batches, calls = 200, 2000
	for range batches {
		began := time.Now()
		for range calls {
			if _, _, errno := unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0); errno != 0 {
				return m, errno
			}
		}
		ns := float64(time.Since(began).Nanoseconds()) / calls
		if m.Nanoseconds == 0 || ns < m.Nanoseconds {
			m.Nanoseconds = ns
		}
	}
	return m, nil
}
