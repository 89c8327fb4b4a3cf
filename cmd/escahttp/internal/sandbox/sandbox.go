// Package sandbox takes from the process, once it serves, what serving does not need:
//
//	Drop     root's rights, for those of another user
//	Apply    new privileges (no_new_privs), all files but those named (Landlock), and the
//	         calls that a file server has no use for (seccomp)
//
// All of it is of every thread, and of the processes that are started later. None of it
// can be taken back.
package sandbox

// Rules are what the process may still do.
type Rules struct {
	// Read are files and directories that may be read, with all beneath.
	Read []string
	// Write are directories in which files may be made, written, renamed and removed.
	Write []string
	// Remove are directories in which files may be removed.
	Remove []string
	// Run are directories and files of programs that may be started, and read.
	Run []string
	// Devices are files that may be read, written and controlled.
	Devices []string
	// NoFilter is why there is to be no seccomp filter; empty: there is to be one.
	NoFilter string
}
