//go:build linux

package systemd

import (
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A process that another takes the place of, in the middle of a reload or not, does not
// make itself the service's again, and leaves no reload that nobody ends.
func TestNotifierThatLeaves(t *testing.T) {
	ready := func(n *Notifier) { n.Ready("x") }
	for _, tt := range []struct {
		name string
		does []func(*Notifier)
		want string
	}{
		{"reloads", []func(*Notifier){ready, (*Notifier).Reloading, ready}, "MAINPID READY, RELOADING, READY"},
		{"leaves while it reloads", []func(*Notifier){ready, (*Notifier).Reloading, (*Notifier).Leave, ready, ready}, "MAINPID READY, RELOADING, READY"},
		{"reloads when it has left", []func(*Notifier){ready, (*Notifier).Leave, (*Notifier).Reloading, ready, (*Notifier).Stopping}, "MAINPID READY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "n")
			c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			t.Setenv("NOTIFY_SOCKET", name)
			n := &Notifier{Logf: t.Errorf}
			for _, f := range tt.does {
				f(n)
			}
			n.tell("END=1")
			var said []string
			c.SetReadDeadline(time.Now().Add(time.Minute))
			for b := make([]byte, 4096); ; {
				m, err := c.Read(b)
				if err != nil {
					t.Fatal(err)
				}
				text := string(b[:m])
				if strings.HasPrefix(text, "END") {
					break
				}
				var words []string
				for _, w := range regexp.MustCompile(`(?m)^(MAINPID|READY|RELOADING|STOPPING)=`).FindAllStringSubmatch(text, -1) {
					words = append(words, w[1])
				}
				said = append(said, strings.Join(words, " "))
			}
			if got := strings.Join(said, ", "); got != tt.want {
				t.Errorf("it says %s, and not %s", got, tt.want)
			}
		})
	}
}
