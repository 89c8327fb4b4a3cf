//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
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
	if len(c.loads) > 1 || c.loads[0].conns >= manyConns {
		return longTurn // handlers that sleep, or answers that take tens of milliseconds
	}
	return shortTurn
}

// manyConns are so many that opening them is a good part of a short round.
const manyConns = 4000

// driven is how long a side is driven in a round that is asked to last d.
func (c *comparison) driven(d time.Duration) time.Duration {
	if c.loads[0].conns >= manyConns {
		d *= 2
	}
	return max(d, c.turn())
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
	all, err := machineTime()
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
	turns := int(c.driven(d) / c.turn())
	for t := range turns {
		for k := range drives {
			i := k
			if t%2 == 1 {
				i = len(drives) - 1 - k
			}
			if dr := drives[i]; dr != nil && dr.err == nil {
				dr.err = r.takeTurn(ctx, c, dr, t == 0, t == turns-1)
			}
		}
	}
	samples, errs := make([]sample, len(drives)), make([]error, len(drives))
	busy := time.Duration(0)
	for _, dr := range drives {
		if dr == nil {
			continue
		}
		dr.finish(c)
		busy += dr.sample.CPU
		for _, p := range dr.procs {
			busy += p.cpuUsed()
		}
	}
	allAfter, err := machineTime()
	for i, dr := range drives {
		if dr == nil {
			continue
		}
		if dr.err == nil {
			dr.err = err
		}
		dr.sample.Others = max(0, float64(allAfter-all-busy)/float64(time.Since(began)))
		samples[i], errs[i] = dr.sample, dr.err
	}
	return samples, errs
}

// takeTurn lets a side's load run for a turn, and compares some answers with the
// right ones meanwhile, for wrk looks only at status and length.
func (r *runner) takeTurn(ctx context.Context, c *comparison, dr *drive, first, last bool) error {
	ended := time.NewTimer(c.turn())
	defer ended.Stop()
	if first {
		if err := r.startDrive(c, dr); err != nil {
			return err
		}
	} else if err := dr.signal(syscall.SIGCONT); err != nil {
		return err
	}
	for _, l := range c.loads {
		if _, err := l.ask(dr.srv.addr); err != nil {
			return wrongError("under load: " + err.Error())
		}
		dr.sample.Checked++
	}
	select {
	case <-ended.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !last {
		return dr.signal(syscall.SIGSTOP)
	}
	if err := dr.signal(syscall.SIGINT); err != nil {
		return err
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
		p, err := startProcess(argv, environment(), bytes.NewReader(input), out)
		if err != nil {
			return fmt.Errorf("load generator: %w", err)
		}
		dr.procs, dr.outputs = append(dr.procs, p), append(dr.outputs, out)
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
	after, err := cpuTime(dr.srv.pid())
	if err != nil {
		dr.err = err
		return
	}
	dr.sample.CPU = after - dr.sample.CPU
	for i, l := range c.loads {
		res, err := parseWrk(dr.outputs[i].String())
		if err == nil {
			if wrong := res.check(dr.srv.sizes[i], l); wrong != nil {
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

// withoutTimes is what pauses leave of a result.
func (r result) withoutTimes() result {
	r.Elapsed, r.P50, r.P99, r.P999 = 0, 0, 0, 0
	return r
}

// stop ends the load generators that have not ended.
func (dr *drive) stop() {
	for _, p := range dr.procs {
		p.stop()
	}
}
