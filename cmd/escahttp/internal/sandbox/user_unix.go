//go:build unix

package sandbox

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// User is who the process is to be.
type User struct {
	name   string
	uid    int
	gid    int
	groups []int
}

// LookUser returns the user of that name or number.
func LookUser(name string) (*User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("there is no user %q", name)
		}
	}
	w := &User{name: u.Username}
	if w.uid, err = strconv.Atoi(u.Uid); err != nil {
		return nil, err
	}
	if w.gid, err = strconv.Atoi(u.Gid); err != nil {
		return nil, err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("the groups of %s: %w", w.name, err)
	}
	for _, id := range ids {
		n, err := strconv.Atoi(id)
		if err != nil {
			return nil, err
		}
		w.groups = append(w.groups, n)
	}
	return w, nil
}

// Is reports whether the process is u already.
func (u *User) Is() bool { return syscall.Getuid() == u.uid && syscall.Geteuid() == u.uid }

// Own gives u a directory of ours, and what is in it.
func (u *User) Own(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Lchown(dir+"/"+e.Name(), u.uid, u.gid); err != nil {
			return err
		}
	}
	return os.Lchown(dir, u.uid, u.gid)
}

// Drop makes the process u's, with its groups, for good.
func (u *User) Drop() error {
	if u.Is() {
		return nil
	}
	if syscall.Geteuid() != 0 {
		return fmt.Errorf("only root may become %s: start escahttp as root, or as %s", u.name, u.name)
	}
	groups := u.groups
	if !slices.Contains(groups, u.gid) {
		groups = append(groups, u.gid)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("the groups of %s: %w", u.name, err)
	}
	if err := syscall.Setgid(u.gid); err != nil {
		return fmt.Errorf("the group of %s: %w", u.name, err)
	}
	if err := syscall.Setuid(u.uid); err != nil {
		return fmt.Errorf("to become %s: %w", u.name, err)
	}
	return nil
}

// String is the user's name.
func (u *User) String() string { return u.name }
