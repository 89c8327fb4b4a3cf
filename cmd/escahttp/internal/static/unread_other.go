//go:build !linux

package static

// unread is how much of what was sent its client may not have read yet.
var unread = func() int64 { return 32 << 20 }
