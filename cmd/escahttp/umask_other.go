//go:build !unix

package main

func umask(mask int) (before int) { return mask }
