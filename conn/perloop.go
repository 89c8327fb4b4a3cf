//go:build linux && (amd64 || arm64)

package conn

// Get returns the value of the loop that the calling worker belongs to, or, to whoever
// else calls, one for all of them.
func (p *PerLoop[T]) Get() T {
	w := callingWorker()
	if w == nil {
		return p.others()
	}
	l := w.l
	l.mu.Lock()
	v, ok := l.values[p]
	l.mu.Unlock()
	if ok {
		return v.(T)
	}
	made := p.New() // user code
	l.mu.Lock()
	defer l.mu.Unlock()
	if v, ok := l.values[p]; ok { // another worker was faster
		return v.(T)
	}
	if l.values == nil {
		l.values = make(map[any]any)
	}
	l.values[p] = made
	return made
}
