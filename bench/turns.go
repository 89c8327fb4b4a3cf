//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/escahttp/esca/bench/internal/latency"
)

// The sides of a round take turns: each has its load generator, which is stopped
// (SIGSTOP) while it is another side's turn, and so are all its requests but
// those already with the server. What the machine does to one side it then does
// to the others within the same second: on a virtual machine whose speed drifts,
// the ratio of two servers that ran a second each one after the other was twice
// to ten times as scattered as with turns of a tenth of a second.
//
// The pauses make nonsense of latencies, and of rates where connections are many
// (answers that came during a pause are counted in the next turn). Those are
// taken from runs without a pause.
const (
	shortTurn = 100 * time.Millisecond
	longTurn  = 300 * time.Millisecond
	// untilTold is a duration that no round reaches: a generator ends at SIGINT.
	untilTold = time.Hour
	// endTimeout is for a generator to print what it counted.
	endTimeout = 10 * time.Second
)

// turn is long enough that a connection has many requests in it.
func (c *comparison) turn() time.Duration {
	if len(c.loads) > 1 || c.loads[0].conns >= manyConns || c.secure() {
		return longTurn // handlers that sleep, answers that take tens of milliseconds, or as long until there is a first
	}
	return shortTurn
}

// manyConns are so many that opening them takes a good part of a second.
const manyConns = 4000

// turns is how many turns a side has in a round that is asked to last d: enough
// that opening connections, which the CPU of a request includes, is a small part
// of it, and two at least, so that there is an order and its reverse.
func (c *comparison) turns(d time.Duration) int {
	const perConnection, most = 600 * time.Microsecond, 3 * time.Second
	d = max(d, min(most, time.Duration(c.loads[0].conns)*perConnection))
	return max(2, int(d/c.turn()))
}

// driven is how long a side is driven in such a round.
func (c *comparison) driven(d time.Duration) time.Duration {
	return time.Duration(c.turns(d)) * c.turn()
}

// drive is the load on one side during a round.
type drive struct {
	srv     *running
	procs   []*process
	outputs []*bytes.Buffer
	sample  sample
	err     error // the side's last in this round
}

// interleave drives all sides that are not nil, each for d in all, in turns. It
// returns a sample or an error of each.
func (r *runner) interleave(ctx context.Context, c *comparison, servers []*running, d time.Duration) ([]sample, []error) {
	drives := make([]*drive, len(servers))
	others, err := othersTime()
	began := time.Now()
	for i, srv := range servers {
		if srv == nil {
			continue
		}
		drives[i] = &drive{srv: srv, err: err, sample: sample{Server: srv.server.name, Started: began, RestRSS: srv.rest}}
		if err == nil {
			drives[i].sample.CPU, drives[i].err = cpuTime(srv.pid())
		}
		defer drives[i].stop()
	}
	turns := c.turns(d)
	for t := range turns {
		for k := range drives {
			i := k
			if t%2 == 1 {
				i = len(drives) - 1 - k
			}
			if dr := drives[i]; dr != nil && dr.err == nil {
				if dr.err = r.takeTurn(ctx, c, dr, t == 0, t == turns-1); dr.err != nil {
					dr.stop() // the others' turns are not to be shared with it
				}
			}
		}
	}
	samples, errs := make([]sample, len(drives)), make([]error, len(drives))
	for _, dr := range drives {
		if dr != nil {
			dr.finish(c)
		}
	}
	othersAfter, err := othersTime()
	for i, dr := range drives {
		if dr == nil {
			continue
		}
		if dr.err == nil {
			dr.err = err
		}
		dr.sample.Others = max(0, float64(othersAfter-others)/float64(time.Since(began)))
		samples[i], errs[i] = dr.sample, dr.err
	}
	return samples, errs
}

// takeTurn lets a side's load run for a turn, and compares some answers with the
// right ones meanwhile, for wrk looks only at status and length.
func (r *runner) takeTurn(ctx context.Context, c *comparison, dr *drive, first, last bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if first {
		if err := r.startDrive(c, dr); err != nil {
			return err
		}
		if err := dr.awaitBegun(ctx); err != nil {
			return err
		}
	} else if err := dr.signal(syscall.SIGCONT); err != nil {
		return err
	}
	ended := time.NewTimer(c.turn())
	defer ended.Stop()
	asked := make(chan error, 1)
	go func() { asked <- dr.srv.askAll(c) }()
	select {
	case <-ended.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	sig := syscall.SIGSTOP
	if last {
		sig = syscall.SIGINT
	}
	if err := dr.signal(sig); err != nil {
		return err
	}
	if err := <-asked; err != nil {
		return err
	}
	dr.sample.Checked += len(c.loads)
	if !last {
		return nil
	}
	ending, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	for _, p := range dr.procs {
		if err := p.wait(ending); err != nil {
			return fmt.Errorf("load generator: %w", err)
		}
	}
	return nil
}

// startDrive starts the load generators of a side.
func (r *runner) startDrive(c *comparison, dr *drive) error {
	for i := range c.loads {
		argv, input, err := r.loadCommand(c, dr.srv, i, untilTold)
		if err != nil {
			return err
		}
		out := new(bytes.Buffer)
		p, err := startGenerator(argv, bytes.NewReader(input), out)
		if err != nil {
			return fmt.Errorf("load generator: %w", err)
		}
		dr.procs, dr.outputs = append(dr.procs, p), append(dr.outputs, out)
	}
	return nil
}

// awaitBegun returns when the side's load generators obey a SIGINT. One that got it
// before, on a machine that is busy, would end without a word.
func (dr *drive) awaitBegun(ctx context.Context) error {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for _, p := range dr.procs {
		for begun := false; !begun; begun = p.begun() {
			select {
			case <-p.exited:
				return nil // signal says why
			case <-ctx.Done():
				return ctx.Err()
			case <-look.C:
			}
		}
	}
	return nil
}

// signal sends a signal to the side's load generators. That one has ended is an
// error: it has not been told to.
func (dr *drive) signal(sig syscall.Signal) error {
	for _, p := range dr.procs {
		select {
		case <-p.exited:
			if p.err != nil {
				return fmt.Errorf("load generator: %w", p.failure())
			}
			return errors.New("the load generator has ended by itself")
		default:
		}
		if err := syscall.Kill(p.pid(), sig); err != nil {
			return fmt.Errorf("load generator: %w", err)
		}
	}
	return nil
}

// finish takes what the load generators counted and the server used.
func (dr *drive) finish(c *comparison) {
	dr.stop()
	if dr.err != nil {
		return
	}
	after, err := settledTime(dr.srv.pid())
	if err != nil {
		dr.err = err
		return
	}
	dr.sample.CPU = after - dr.sample.CPU
	for i, l := range c.loads {
		res, err := parseWrk(dr.outputs[i].String())
		if err == nil {
			if wrong := res.check(dr.srv.right[i], l); wrong != nil {
				err = wrongError("GET " + l.path + ": " + wrong.Error())
			}
		}
		if err != nil {
			dr.err = err
			return
		}
		dr.sample.Results = append(dr.sample.Results, res.withoutTimes())
	}
}

const (
	settling     = 20 * time.Millisecond
	settlesIn    = time.Second
	settledShare = 20 // a server is at rest that uses less than this part of a processor
)

// settledTime is the CPU time of a server that has come to rest: it still closes
// connections when their generator is gone, thousands of them for a while, and
// who was driven last would otherwise get some of that for nothing.
func settledTime(pid int) (time.Duration, error) {
	used, err := cpuTime(pid)
	for end := time.Now().Add(settlesIn); err == nil && time.Now().Before(end); {
		time.Sleep(settling)
		before := used
		if used, err = cpuTime(pid); used-before < settling/settledShare {
			break
		}
	}
	return used, err
}

// withoutTimes is what pauses leave of a result.
func (r result) withoutTimes() result {
	r.Elapsed, r.Percentiles = 0, latency.Percentiles{}
	return r
}

// stop ends the load generators that have not ended.
func (dr *drive) stop() {
	for _, p := range dr.procs {
		p.stop()
	}
}
