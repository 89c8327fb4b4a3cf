//go:build linux

package poller_test

import (
	"testing"

	"github.com/escahttp/esca/poller"
	"github.com/escahttp/esca/poller/pollertest"
)

func TestConformance(t *testing.T) {
	for _, f := range []poller.Factory{poller.Direct} {
		t.Run(f.Name(), func(t *testing.T) { pollertest.Conformance(t, f) })
	}
}
