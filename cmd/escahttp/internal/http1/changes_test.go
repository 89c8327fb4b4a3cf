//go:build unix

package http1

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

func TestChangesAreNoticed(t *testing.T) {
	onBoth(t, static.Options{Revalidate: -1}, func(t *testing.T, s *site) {
		for _, size := range []int{100, 300_000} {
			old, fresh := bytes.Repeat([]byte("o"), size), bytes.Repeat([]byte("n"), size)
			for _, change := range []struct {
				name string
				do   func()
				want []byte // nil: 404
			}{
				{"written over", func() {
					s.write(t, "f", fresh)
					later := time.Now().Add(time.Hour)
					os.Chtimes(filepath.Join(s.dir, "f"), later, later)
				}, fresh},
				{"replaced", func() {
					s.write(t, "g", fresh)
					os.Rename(filepath.Join(s.dir, "g"), filepath.Join(s.dir, "f"))
				}, fresh},
				{"grown", func() { s.write(t, "f", append(append([]byte{}, old...), 'x')) }, append(append([]byte{}, old...), 'x')},
				{"truncated", func() { os.Truncate(filepath.Join(s.dir, "f"), 10) }, old[:10]},
				{"removed", func() { os.Remove(filepath.Join(s.dir, "f")) }, nil},
				{"a directory", func() { os.Remove(filepath.Join(s.dir, "f")); os.Mkdir(filepath.Join(s.dir, "f"), 0o755) }, nil},
			} {
				os.RemoveAll(filepath.Join(s.dir, "f"))
				s.write(t, "f", old)
				tag := s.settled(t, "/f")
				before, b := s.do(t, "GET", "/f")
				if !bytes.Equal(b, old) {
					t.Fatalf("%s: before: %s %d bytes", change.name, before.Status, len(b))
				}
				change.do()
				after, b := s.do(t, "GET", "/f")
				if change.want == nil {
					if after.StatusCode == 200 {
						t.Errorf("%s: still %s", change.name, after.Status)
					}
				} else if !bytes.Equal(b, change.want) || after.Header.Get("ETag") == tag || s.settled(t, "/f") == tag {
					t.Errorf("%s: %s, %d bytes, tag %s and before %s", change.name, after.Status, len(b), after.Header.Get("ETag"), tag)
				}
			}
			os.RemoveAll(filepath.Join(s.dir, "f"))
		}
	})
}
