//go:build !(linux && (amd64 || arm64))

package conn

type linuxOptions struct{}
