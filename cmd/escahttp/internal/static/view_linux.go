package static

import (
	"sync"

	"golang.org/x/sys/unix"
)

// view is a copy in memory, mapped: what cannot go by sendfile, as over TLS, need not be read into a buffer
// for each answer. The copy is sealed, and so cannot become shorter than its mapping.
type view struct {
	once sync.Once
	b    []byte
}

// of returns all n bytes of d, as long as somebody holds it; nil if it cannot be mapped.
func (m *view) of(d *descriptor, n int64) []byte {
	m.once.Do(func() {
		// Private, as Linux before 6.7 shares nothing of what is sealed.
		m.b, _ = unix.Mmap(d.fd, 0, int(n), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_POPULATE)
	})
	return m.b
}

func (m *view) close() {
	if m.b != nil {
		unix.Munmap(m.b)
	}
}
