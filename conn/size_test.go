//go:build linux && (amd64 || arm64)

package conn

import (
	"testing"
	"unsafe"
)

// An idle connection is a Conn and what its Handler keeps of it: neither may grow past the
// size class that it has now without somebody saying so (bench's idle/free: 600 bytes).
func TestConnIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 320 {
		t.Errorf("a Conn has %d bytes, and is allocated as more than 320", n)
	}
}
