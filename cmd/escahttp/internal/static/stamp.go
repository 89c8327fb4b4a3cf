package static

import "time"

// stamp is what stat says of a file at one moment.
type stamp struct {
	kind         kind
	dev, ino     uint64
	nlink        uint64
	size         int64
	mtime, ctime int64 // nanoseconds since 1970
	mode         uint32
	uid, gid     uint32
}

type kind uint8

const (
	other kind = iota // neither of the others
	regular
	folder
)

// same reports whether s and o show the same version of a file. The inode's
// number alone says little, as it is given again, and so does the time of
// modification, which anybody can set: the time of change cannot be.
func (s *stamp) same(o *stamp) bool {
	return s.ctime == o.ctime && s.mtime == o.mtime && s.size == o.size && s.ino == o.ino && s.dev == o.dev && s.kind == o.kind
}

// rewritten reports whether the contents of an open file may have changed
// between s and the later o. The time of change alone moves for less than that:
// another name for the file or one fewer, as by a backup or a replacement. (And for
// other rights; but cp -p sets those, and the time of modification, of what it has
// written over.)
func (s *stamp) rewritten(o *stamp) bool {
	if s.size != o.size || s.mtime != o.mtime {
		return true
	}
	renamed := s.nlink != o.nlink && s.mode == o.mode && s.uid == o.uid && s.gid == o.gid
	return s.ctime != o.ctime && !renamed
}

// Clocks of file systems are as coarse as the kernel's tick, ten milliseconds at
// the most, or one or two seconds where there are no fractions.
const (
	fineClock   = 20 * time.Millisecond
	coarseClock = 2100 * time.Millisecond
)

// settled reports whether a change after now, when s was taken, is bound to show
// in a later stamp: one within the same tick of the clock would not. Of a time
// that is far in the future, by another machine's clock, nothing can be said.
func (s *stamp) settled(now time.Time) bool {
	clock := fineClock
	if s.ctime%int64(time.Second) == 0 {
		clock = coarseClock
	}
	age := s.age(now)
	return age >= clock || age < -coarseClock
}

// age is for how long a file was left alone at now.
func (s *stamp) age(now time.Time) time.Duration {
	return time.Duration(now.UnixNano() - s.ctime)
}
