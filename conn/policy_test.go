//go:build linux && (amd64 || arm64)

package conn

import "testing"

// What adaptive dispatch learns: who has proved slow gets goroutines until it has
// been quick for a while, and so does everybody while others keep proving slow.
func TestPolicy(t *testing.T) {
	const quick, slow = slowBurst - 1, slowBurst
	t.Run("forced", func(t *testing.T) {
		for mode, want := range map[Dispatch]workerKind{
			DispatchInline: inlineWorker, DispatchGoroutine: spawnedWorker, DispatchAdaptive: inlineWorker, DispatchDirect: directWorker,
		} {
			p, c := policy{mode: mode}, new(Conn)
			if got := p.kind(c); got != want {
				t.Errorf("mode %d begins with %d, want %d", mode, got, want)
			}
			p.blocked(c)
			want = map[Dispatch]workerKind{
				DispatchInline: inlineWorker, DispatchGoroutine: spawnedWorker, DispatchAdaptive: spawnedWorker, DispatchDirect: spawnedWorker,
			}[mode]
			if got := p.kind(c); got != want {
				t.Errorf("mode %d goes on with %d after a slow burst, want %d", mode, got, want)
			}
		}
	})
	t.Run("one slow connection", func(t *testing.T) {
		p, bad, good := policy{}, new(Conn), new(Conn)
		p.blocked(bad)
		n := 0
		for p.kind(good) == spawnedWorker {
			p.took(good, quick)
			n++
		}
		if n != slowWeight {
			t.Errorf("the others have goroutines for %d quick bursts, want %d", n, slowWeight)
		}
		if p.kind(bad) != spawnedWorker {
			t.Error("it is inline again, without having been quick")
		}
		for range connRecovery {
			p.took(bad, quick)
		}
		if p.kind(bad) != inlineWorker {
			t.Errorf("it still has goroutines after %d quick bursts", connRecovery)
		}
	})
	t.Run("known ones weigh once", func(t *testing.T) {
		p, bad := policy{}, new(Conn)
		for range 100 {
			p.took(bad, slow)
		}
		if p.credit != slowWeight {
			t.Errorf("credit %d of one slow connection, want %d", p.credit, slowWeight)
		}
	})
	t.Run("bounded", func(t *testing.T) {
		p := policy{}
		for range 1000 {
			p.took(new(Conn), slow)
		}
		if p.credit != slowMost {
			t.Errorf("credit %d, want at most %d", p.credit, slowMost)
		}
	})
}
