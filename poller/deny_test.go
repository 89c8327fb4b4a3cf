//go:build linux

package poller

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deniedBy, in the environment, has the test binary deny itself the system call
// deniedCall with that error, print the probe, and end.
const (
	deniedBy   = "ESCA_TEST_DENIED_BY"
	deniedCall = "ESCA_TEST_DENIED_CALL"
	deniedFile = "ESCA_TEST_DISABLED_FILE" // bound over the sysctl

	disabledSysctl = "/proc/sys/kernel/io_uring_disabled"
)

func TestMain(m *testing.M) {
	if by := os.Getenv(deniedBy); by != "" {
		if err := denyRings(os.Getenv(deniedCall), by, os.Getenv(deniedFile)); err != nil {
			fmt.Println("cannot:", err)
			os.Exit(3)
		}
		f, why, err := Choose("auto")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Printf("%v\n%v\n%s: %s\n", uringFactory{}.Probe(), uringFactory{}.Probe().Status, f.Name(), why)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func denyRings(call, errno, disabled string) error {
	nr, err := strconv.Atoi(call)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(errno)
	if err != nil {
		return err
	}
	if disabled != "" {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("private mounts: %w", err)
		}
		if err := unix.Mount(disabled, disabledSysctl, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
	}
	return deny(nr, unix.Errno(n))
}

// deny installs a seccomp filter for all threads, for ever: system call nr fails.
func deny(nr int, errno unix.Errno) error {
	const (
		loadNr   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jumpIf   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret      = unix.BPF_RET | unix.BPF_K
		allow    = 0x7fff0000
		retErrno = 0x00050000
	)
	filter := []unix.SockFilter{
		{Code: loadNr},
		{Code: jumpIf, K: uint32(nr), Jf: 1},
		{Code: ret, K: retErrno | uint32(errno)},
		{Code: ret, K: allow},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // no_new_privs is the thread's, until the filter is everybody's
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const setModeFilter, tsync = 1, 1
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, tsync, uintptr(unsafe.Pointer(&prog))); e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	return nil
}
