//go:build linux && (amd64 || arm64)

package conn

import "github.com/escahttp/esca/poller"

type linuxOptions struct {
	factory poller.Factory
	config  poller.Config
}

// WithFactory has loops use backends of f, whatever WithBackend and the
// environment say. It is how a backend of one's own, or one that injects
// faults, is put in.
func WithFactory(f poller.Factory) Option { return func(o *options) { o.linux.factory = f } }

// WithMemory sizes the table, the slots and the arena of each loop.
func WithMemory(c poller.Config) Option { return func(o *options) { o.linux.config = c } }

func (o *options) chooseFactory() (poller.Factory, string, error) {
	if f := o.linux.factory; f != nil {
		return f, "backend " + f.Name() + " (set by option)", nil
	}
	return poller.Choose(o.backend)
}
