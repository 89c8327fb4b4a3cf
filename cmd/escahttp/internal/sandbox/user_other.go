//go:build !unix

package sandbox

import "errors"

// User is who the process is to be, which cannot be changed here.
type User struct{}

// LookUser can find nobody here.
func LookUser(string) (*User, error) {
	return nil, errors.New("this system cannot change who a process is")
}

// Is is not asked here.
func (*User) Is() bool { return false }

// Own does nothing here.
func (*User) Own(string) error { return nil }

// Drop does nothing here.
func (*User) Drop() error { return nil }

// String is nobody's name.
func (*User) String() string { return "" }
