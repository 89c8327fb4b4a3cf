//go:build linux && (amd64 || arm64)

package conn

import "testing"

// While a driver is inside user code the watcher stays awake, although it finds the
// lock taken by others whenever it looks: by those who write to a connection whose
// Handler waits for them.
func TestWatcherStaysAwake(t *testing.T) {
	for _, tt := range []struct {
		name         string
		phase        phase
		locked, ran  bool
		inUser, wake bool
	}{
		{"inside user code", phaseUser, false, false, true, true},
		{"inside user code, locked", phaseUser, true, false, true, true},
		{"parked, ran meanwhile", phaseParked, false, true, false, true},
		{"parked", phaseParked, false, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &loop{group: &group{}, phase: tt.phase, userSeq: 1}
			w := newWatcher([]*loop{l})
			w.lastRan = l.userSeq
			if tt.ran {
				l.userSeq++
			}
			if tt.locked {
				l.mu.Lock()
			}
			inUser := w.look(1)
			if tt.locked {
				l.mu.Unlock()
			}
			if inUser != tt.inUser {
				t.Errorf("look has found user code: %v", inUser)
			}
			close(w.quit) // a sleep that parks returns false
			if awake := w.sleep(); awake != tt.wake {
				t.Errorf("stays awake: %v", awake)
			}
		})
	}
}
