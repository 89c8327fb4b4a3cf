package paths

import (
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// Maintenance answers everything with 503 while a file exists. It is a static.Step.
type Maintenance struct {
	file  string
	every time.Duration

	checked atomic.Int64 // when it was looked for, Unix nanoseconds
	on      atomic.Bool
}

// NewMaintenance returns a Maintenance for the file of that name, which is looked for once
// in every at the most.
func NewMaintenance(file string, every time.Duration) *Maintenance {
	return &Maintenance{file: file, every: every}
}

// Decide is a static.Step.
func (m *Maintenance) Decide(r static.Request, a *static.Answer) bool {
	now, last := r.Time().UnixNano(), m.checked.Load()
	if last == 0 || now-last >= int64(m.every) && m.checked.CompareAndSwap(last, now) {
		_, err := os.Stat(m.file)
		m.on.Store(err == nil)
		m.checked.Store(now)
	}
	if !m.on.Load() {
		return false
	}
	a.Set(keyRetryAfter, valueRetryAfter)
	a.Fail(http.StatusServiceUnavailable)
	return true
}

var (
	keyRetryAfter   = []byte("Retry-After")
	valueRetryAfter = []byte("60")
)
