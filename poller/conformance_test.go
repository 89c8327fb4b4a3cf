//go:build linux

package poller_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/pollertest"
)

// required are the backends that ESCA_REQUIRE names: where they are not
// available, tests fail instead of skipping.
func required() []string { return strings.Split(os.Getenv("ESCA_REQUIRE"), ",") }

func TestConformance(t *testing.T) {
	for _, name := range []string{"kmod", "uring", "direct"} {
		t.Run(name, func(t *testing.T) {
			f, _, err := poller.Choose(name)
			if err != nil {
				if slices.Contains(required(), name) {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			pollertest.Conformance(t, f)
		})
	}
}
