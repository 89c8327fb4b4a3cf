//go:build unix

package main

import "syscall"

func umask(mask int) (before int) { return syscall.Umask(mask) }
