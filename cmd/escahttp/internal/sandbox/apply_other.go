//go:build !linux

package sandbox

import "errors"

// Apply can do nothing here.
func Apply(Rules) (inForce []string, missing []error) {
	return nil, []error{errors.New("this system has neither Landlock nor seccomp")}
}
