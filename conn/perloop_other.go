//go:build !(linux && (amd64 || arm64))

package conn

// Get returns the one value that there is: this system has no loops.
func (p *PerLoop[T]) Get() T { return p.others() }
