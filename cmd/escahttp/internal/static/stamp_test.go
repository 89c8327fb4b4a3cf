package static

import (
	"testing"
	"time"
)

func TestStamps(t *testing.T) {
	base := stamp{kind: regular, dev: 1, ino: 2, nlink: 1, size: 3, mtime: 4, ctime: 5, mode: 0o644, uid: 6, gid: 7}
	for _, tt := range []struct {
		name            string
		change          func(s *stamp)
		same, rewritten bool
	}{
		{"nothing", func(s *stamp) {}, true, false},
		{"size", func(s *stamp) { s.size++ }, false, true},
		{"time of modification", func(s *stamp) { s.mtime++ }, false, true},
		{"time of modification, backwards", func(s *stamp) { s.mtime-- }, false, true},
		{"time of change", func(s *stamp) { s.ctime++ }, false, true},
		{"inode", func(s *stamp) { s.ino++ }, false, false},
		{"file system", func(s *stamp) { s.dev++ }, false, false},
		{"rights", func(s *stamp) { s.ctime++; s.mode = 0o600 }, false, true},
		{"owner", func(s *stamp) { s.ctime++; s.uid++ }, false, true},
		{"group", func(s *stamp) { s.ctime++; s.gid++ }, false, true},
		{"another name", func(s *stamp) { s.ctime++; s.nlink++ }, false, false},
		{"removed", func(s *stamp) { s.ctime++; s.nlink-- }, false, false},
		{"another name, and rights", func(s *stamp) { s.ctime++; s.nlink++; s.mode = 0o600 }, false, true},
		{"removed, after it was written to", func(s *stamp) { s.ctime++; s.nlink--; s.mtime++ }, false, true},
	} {
		s := base
		tt.change(&s)
		if base.same(&s) != tt.same || base.rewritten(&s) != tt.rewritten {
			t.Errorf("%s: same %v, rewritten %v", tt.name, base.same(&s), base.rewritten(&s))
		}
	}
}

func TestSettled(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		changed time.Time
		want    bool
	}{
		{now.Add(-time.Hour + 1), true}, {now.Add(-time.Hour), true},
		{now.Add(-19 * time.Millisecond), false}, {now.Add(-20 * time.Millisecond), true},
		{now, false}, {now.Add(time.Millisecond), false},
		{now.Add(-time.Second), false}, {now.Add(-2 * time.Second), false}, // no fractions: a coarse clock
		{now.Add(-3 * time.Second), true}, {now.Add(time.Hour), true},
	} {
		s := stamp{ctime: tt.changed.UnixNano()}
		if s.settled(now) != tt.want {
			t.Errorf("changed %v before: settled %v", now.Sub(tt.changed), !tt.want)
		}
	}
}
