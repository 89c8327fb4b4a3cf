package sandbox

import (
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

const (
	read   = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir)
	run    = read | landlock.AccessFSSet(ll.AccessFSExecute)
	write  = read | landlock.AccessFSSet(ll.AccessFSWriteFile|ll.AccessFSTruncate|ll.AccessFSMakeReg|ll.AccessFSMakeDir|ll.AccessFSRemoveFile)
	remove = landlock.AccessFSSet(ll.AccessFSRemoveFile)
	// What a rule of a file may say.
	file   = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSExecute)
	device = landlock.AccessFSSet(ll.AccessFSReadFile|ll.AccessFSWriteFile) | landlock.AccessFSSet(ll.AccessFSIoctlDev)
)

// Apply restricts the process to r. It returns what is in force, and what cannot be had
// and why.
func Apply(r Rules) (inForce []string, missing []error) {
	abi, err := ll.LandlockGetABIVersion()
	if err == nil {
		err = restrictFiles(r)
	}
	if err != nil {
		missing = append(missing, fmt.Errorf("no Landlock: %w", err))
	} else {
		inForce = append(inForce, fmt.Sprintf("Landlock (ABI %d)", abi))
	}
	// Landlock has set it for all threads; without, it is set by the filter's TSYNC.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		missing = append(missing, fmt.Errorf("no_new_privs cannot be set: %w", err))
	}
	switch err := error(nil); {
	case r.NoFilter != "":
		missing = append(missing, fmt.Errorf("no seccomp filter: %s", r.NoFilter))
	default:
		if err = Refuse(refused, unix.EPERM); err != nil {
			missing = append(missing, fmt.Errorf("no seccomp filter: %w", err))
			break
		}
		inForce = append(inForce, fmt.Sprintf("seccomp (%d calls are refused)", len(refused)))
	}
	if len(inForce) > 0 {
		inForce = append(inForce, "no new privileges")
	}
	return inForce, missing
}

func restrictFiles(r Rules) error {
	var rules []landlock.Rule
	add := func(access landlock.AccessFSSet, names []string) {
		for _, name := range names {
			var st unix.Stat_t
			if unix.Stat(name, &st) != nil {
				continue // and so cannot be had
			}
			a := access
			if st.Mode&unix.S_IFMT != unix.S_IFDIR && access != device {
				a &= file
			}
			rules = append(rules, landlock.PathAccess(a, name).IgnoreIfMissing())
		}
	}
	add(read, r.Read)
	add(write, r.Write)
	add(remove, r.Remove)
	add(run, r.Run)
	add(device, r.Devices)
	return landlock.V5.BestEffort().RestrictPaths(rules...)
}
