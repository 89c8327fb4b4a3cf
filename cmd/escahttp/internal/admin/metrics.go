package admin

import (
	"fmt"
	"io"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Metrics counts what is answered, for Prometheus. Any number of goroutines may use it.
type Metrics struct {
	set      *metrics.Set
	answers  [1000]*metrics.Counter // by status
	sent     *metrics.Counter
	duration *metrics.PrometheusHistogram
}

// NewMetrics returns a Metrics that has counted nothing.
func NewMetrics() *Metrics {
	m := &Metrics{set: metrics.NewSet()}
	for status := 100; status < 600; status++ {
		m.answers[status] = new(metrics.Counter)
	}
	m.sent = m.set.NewCounter("escahttp_sent_bytes_total")
	m.duration = m.set.NewPrometheusHistogramExt("escahttp_answer_duration_seconds", []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60})
	return m
}

// Gauge adds a number that f returns when it is asked for.
func (m *Metrics) Gauge(name string, f func() float64) { m.set.NewGauge(name, f) }

// Observe counts an answer: its status, the bytes of its body that were sent, and how long
// it took from when the request was there.
func (m *Metrics) Observe(status int, sent int64, took time.Duration) {
	if status >= 100 && status < 600 {
		m.answers[status].Inc()
	}
	m.sent.AddInt64(sent)
	m.duration.Update(took.Seconds())
}

// write writes all of it in the text format of Prometheus.
func (m *Metrics) write(w io.Writer) {
	for status, c := range m.answers {
		if c != nil && c.Get() > 0 {
			metrics.WriteCounterUint64(w, fmt.Sprintf(`escahttp_answers_total{status="%d"}`, status), c.Get())
		}
	}
	m.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}
