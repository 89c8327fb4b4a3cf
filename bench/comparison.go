//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/escahttp/esca/bench/internal/serving"
)

// placement says where server and load generator run.
type placement string

const (
	// pinned: the server on one processor with GOMAXPROCS=1, the load
	// generator with one thread on another.
	pinned placement = "pinned"
	// free: nothing pinned, the server's own defaults, which is where the
	// cost of Go's scheduler shows.
	free placement = "free"

	serverCPU = 0
	loadCPU   = 1
)

// load is what one load generator asks for, without pause, over a number of
// connections.
type load struct {
	path     string
	conns    int
	pipeline int           // requests written at once; 0 and 1: one
	close    bool          // a connection per request
	each     int           // requests of a connection, which is closed then; 0: as many as there is time for
	tls      bool          // with TLS
	resume   bool          // of which every connection resumes an earlier one
	streams  int           // over HTTP/2 and TLS, as many requests under way on each connection; 0: over HTTP/1.1
	gzip     bool          // compressed answers are asked for; body is what they become again
	may      []string      // header fields that only some sides send
	rest     []page        // asked for after path and in turn with it
	rate     int           // requests a second on all connections together, each sent when it is due; 0: as soon as the one before is answered
	pace     time.Duration // between the requests of a connection, whenever they are answered; 0: as soon as they are
	body     []byte        // the only right answer
	echo     int           // instead of requests: bytes of messages that come back
	inside   bool          // by clients of net/http in the server's own process
	rare     bool          // answers come so seldom that one is checked, and none while it runs
}

func (l load) String() string {
	var b strings.Builder
	if l.echo > 0 {
		fmt.Fprintf(&b, "messages of %s over %s", byteSize(l.echo), plural(l.conns, "connection"))
		if l.pipeline > 1 {
			fmt.Fprintf(&b, ", %d under way on each", l.pipeline)
		}
		return b.String()
	}
	what := fmt.Sprintf("%s (%s)", l.path, byteSize(len(l.body)))
	if len(l.rest) > 0 {
		what = fmt.Sprintf("%d files of %s in all, one after another,", 1+len(l.rest), byteSize(l.bytes()))
	}
	fmt.Fprintf(&b, "GET %s over %s", what, plural(l.conns, "connection"))
	switch {
	case l.streams > 0:
		fmt.Fprintf(&b, " with TLS and HTTP/2, %d under way on each", l.streams)
	case l.resume:
		b.WriteString(" with TLS, resumed")
	case l.tls:
		b.WriteString(" with TLS")
	}
	if l.gzip {
		b.WriteString(", compressed by gzip")
	}
	if l.inside {
		b.WriteString(" of net/http in the server's own process")
	}
	if l.pipeline > 1 {
		fmt.Fprintf(&b, ", %d pipelined", l.pipeline)
	}
	if l.pace > 0 {
		fmt.Fprintf(&b, ", one each %v on each", l.pace)
	}
	if l.rate > 0 {
		fmt.Fprintf(&b, ", %d a second by a schedule, their times from when they were due", l.rate)
	}
	if l.close {
		b.WriteString(", a connection per request")
	}
	if len(l.may) > 0 {
		fmt.Fprintf(&b, ", with or without %s", strings.Join(l.may, ", "))
	}
	if l.each > 0 {
		fmt.Fprintf(&b, ", a connection for %d requests", l.each)
	}
	return b.String()
}

// page is something to ask for, and the only right answer.
type page struct {
	path string
	body []byte
}

// pages are all that the load asks for.
func (l load) pages() []page { return append([]page{{l.path, l.body}}, l.rest...) }

// only is the load with nothing but this one of its pages.
func (l load) only(p page) load {
	l.path, l.body, l.rest = p.path, p.body, nil
	return l
}

// bytes are those of all bodies.
func (l load) bytes() (n int) {
	for _, p := range l.pages() {
		n += len(p.body)
	}
	return n
}

// ours says that bench generates the load itself: what wrk cannot, or where it
// would not notice that answers are wrong.
func (l load) ours() bool {
	return l.close || l.echo > 0 || l.inside || l.pace > 0 || l.each > 0 || l.rate > 0 || len(l.rest) > 0
}

// comparison is one question: what does the first of the servers take, beside
// the others, under these loads?
type comparison struct {
	name      string
	family    string    // comparisons that make one chart
	x         float64   // where this one stands in it
	sides     []*server // measured in turn; the first is the reference
	placement placement
	unix      bool   // over a unix socket instead of loopback TCP
	loads     []load // all at once
	steady    bool   // measured in runs without a pause only, as latencies are what is asked for
	procs     int    // GOMAXPROCS of the servers; 0: Go's default, and 1 where pinned
	idle      int    // instead of a load: measure memory with this many idle connections
	loops     int    // event loops of esca; 0: its default
	frame     int    // bytes of the messages that an echo answers one by one; 0: as they come
	late      bool   // the servers tell how late goroutines ran that they had started
	slow      string // name of the file that the servers find on a slow disk
	upstream  *upstream
	asks      string // where upstream is, once it has been started
	degree    int    // most entries a table of esca's has, and events a tick; 0: its default
	goals     []goal
	kinds     kind
	brief     bool // its servers are not started twice as often with nothing pinned: what is left of the hour goes where it is needed
}

// kind says when a comparison runs.
type kind int

const (
	full  kind = iota // without -quick
	quick             // with and without
	extra             // only if -run names it
)

// metric is what every ratio of the comparison is of.
func (c *comparison) metric() metric {
	if c.idle > 0 {
		return idleBytes
	}
	return cpuPerRequest
}

// conditions says under which loads and where the figures were taken.
func (c *comparison) conditions() string {
	var parts []string
	if c.idle > 0 {
		parts = append(parts, plural(c.idle, "idle connection")+", a request answered on each")
	} else {
		for _, l := range c.loads {
			parts = append(parts, l.String())
		}
	}
	socket := "loopback TCP"
	if c.unix {
		socket = "unix socket"
	}
	parts = append(parts, socket)
	if c.placement == pinned {
		parts = append(parts, fmt.Sprintf("server on cpu %d with GOMAXPROCS=1, load on cpu %d", serverCPU, loadCPU))
	} else {
		parts = append(parts, "nothing pinned")
	}
	if c.procs > 0 {
		parts = append(parts, fmt.Sprintf("GOMAXPROCS=%d", c.procs))
	}
	if c.upstream != nil {
		parts = append(parts, "beside "+c.upstream.name)
	}
	if c.slow != "" {
		parts = append(parts, fmt.Sprintf("a disk that takes %v to read /%s", serving.SlowDisk, c.slow))
	}
	if c.loops > 0 {
		parts = append(parts, "esca with "+plural(c.loops, "loop"))
	}
	if c.frame > 0 {
		parts = append(parts, "each answered by a Write of its own")
	}
	if c.degree > 0 {
		parts = append(parts, fmt.Sprintf("at most %d calls a flush", c.degree))
	}
	return strings.Join(parts, "; ")
}

// goal is a limit that a figure is judged by.
type goal struct {
	Metric  string  `json:"metric"`
	Of      string  `json:"of,omitempty"`      // the server that is judged; empty: the reference
	Against string  `json:"against,omitempty"` // the limit is for the ratio to this server; empty: for that one alone
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"at_least,omitempty"`
}

func (g goal) String() string {
	op, of := "≤", ""
	if g.AtLeast {
		op = "≥"
	}
	if g.Against != "" {
		of = "/" + g.Against
	}
	who := ""
	if g.Of != "" {
		who = g.Of + ": "
	}
	return fmt.Sprintf("%s%s%s %s %g", who, g.Metric, of, op, g.Limit)
}

func (g goal) met(s summary) bool {
	v := s.Ratio
	if g.Against == "" {
		v = s.Value
	}
	if g.AtLeast {
		return v >= g.Limit
	}
	return v <= g.Limit
}

func byteSize(n int) string {
	if n >= 1<<10 && n%(1<<10) == 0 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

func plural(n int, of string) string {
	if n != 1 {
		of += "s"
	}
	return fmt.Sprintf("%d %s", n, of)
}
