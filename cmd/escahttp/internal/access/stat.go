package access

import (
	"os"
	"time"
)

// stat returns what tells versions of a file apart; zero if it is not there.
func stat(name string) (mtime time.Time, size int64) {
	fi, err := os.Stat(name)
	if err != nil {
		return time.Time{}, -1
	}
	return fi.ModTime(), fi.Size()
}
