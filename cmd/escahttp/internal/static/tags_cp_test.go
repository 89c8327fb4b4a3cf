//go:build unix

package static

import (
	"os"
	"testing"
	"time"
)

// cp -p of another build over a file, with one size and time for all builds: the tag is
// another, whatever the copy has set beside the time.
func TestTagOfWhatIsCopiedOver(t *testing.T) {
	when := time.Unix(315_532_800, 0)
	for name, beside := range map[string]func(path string){
		"nothing": func(string) {},
		"mode":    func(path string) { os.Chmod(path, 0o664) },
		"link":    func(path string) { os.Link(path, path+".link") },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Options{Revalidate: -1})
			const size = hashedByDefault + 1
			s.write(t, "f", pattern(size))
			os.Chtimes(s.path("f"), when, when)
			s.settled(t, "f")
			_, before := s.get(t, "f")
			s.write(t, "f", pattern(size + 1)[1:])
			beside(s.path("f"))
			os.Chtimes(s.path("f"), when, when)
			s.settled(t, "f")
			if _, after := s.get(t, "f"); after == before {
				t.Errorf("the tag is still %s", after)
			}
		})
	}
}
