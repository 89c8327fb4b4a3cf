//go:build linux && (amd64 || arm64)

package conn

import (
	"fmt"

	"github.com/escahttp/esca/poller"
)

type linuxOptions struct {
	factory poller.Factory
	config  poller.Config
}

// WithFactory has loops use backends of f, whatever WithBackend and the
// environment say. It is how a backend of one's own, or one that injects
// faults, is put in.
func WithFactory(f poller.Factory) Option { return func(o *options) { o.linux.factory = f } }

// WithMemory sizes the table, the slots and the arena of each loop. An arena has
// to hold 32 KiB, a table 4 entries, a slot the record of an accepted connection.
func WithMemory(c poller.Config) Option { return func(o *options) { o.linux.config = c } }

// check reports what no loop can work with. Zero is the default.
func (o *linuxOptions) check() error {
	for _, f := range []struct {
		name     string
		v, least int
	}{
		{"Entries", o.config.Entries, 4},
		{"Events", o.config.Events, 1},
		{"Slots", o.config.Slots, 1},
		{"SlotSize", o.config.SlotSize, poller.AcceptedSize},
		{"Arena", o.config.Arena, 2 * bigWrite},
		{"MaxFD", o.config.MaxFD, 1},
	} {
		if f.v != 0 && f.v < f.least {
			return fmt.Errorf("esca: WithMemory: %s of %d is too small: at least %d, or 0 for the default", f.name, f.v, f.least)
		}
	}
	return nil
}

func (o *options) chooseFactory() (poller.Factory, string, error) {
	if f := o.linux.factory; f != nil {
		return f, "backend " + f.Name() + " (set by option)", nil
	}
	return poller.Choose(o.backend)
}
