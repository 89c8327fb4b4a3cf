package static

import (
	"bytes"
	"os"
	"strconv"
	"sync"
)

// unread is how much of what was sent its client may not have read yet, at the
// most: what the kernel takes from us for a connection (tcp_wmem), and what it
// holds for a client on the same machine (tcp_rmem), whom it gives our pages and
// no copies of them.
var unread = sync.OnceValue(func() int64 {
	return mostOf("/proc/sys/net/ipv4/tcp_wmem") + mostOf("/proc/sys/net/ipv4/tcp_rmem") + 1<<20
})

// mostOf returns the last of the three numbers in the file at path.
func mostOf(path string) int64 {
	b, err := os.ReadFile(path)
	if err == nil {
		if words := bytes.Fields(b); len(words) == 3 {
			if n, err := strconv.ParseInt(string(words[2]), 10, 64); err == nil {
				return n
			}
		}
	}
	return 32 << 20 // more than any default
}
