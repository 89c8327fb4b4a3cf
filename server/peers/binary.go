//go:build linux

package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// binary is the tests of a peer.
type binary struct {
	peer         peer
	file, source string   // of the binary, and the directory its tests expect to be in
	tests        []string // by name, without their parts
	declaredIn   map[string]string
	ws           *workspace
}

// shard is a part of the tests.
type shard struct {
	tests []string // full names
	but   []string // parts of them that others have
}

// has reports whether a test, or what it is a part of, is one of those of a run.
func (b *binary) has(s setting, test string) bool {
	top, _, _ := strings.Cut(test, "/")
	if s.files != nil {
		return slices.Contains(s.files, b.declaredIn[top])
	}
	return b.peer.skip == nil || !b.peer.skip.MatchString(top)
}

// control runs on the original what runs have.
func (b *binary) control(runs []setting) *results {
	return b.run(setting{name: "control"}, func(test string) bool {
		return slices.ContainsFunc(runs, func(s setting) bool { return b.has(s, test) })
	}, func(string) bool { return false })
}

// run runs the tests that has is true of; those that apart is true of each by itself, as
// they may take others with them. The rest is dealt to several processes, each in a
// network and a directory of its own, as the tests have fixed ports and files.
func (b *binary) run(s setting, has, apart func(test string) bool) *results {
	wanted := regexp.MustCompile(*run)
	var small []string
	var shards []shard
	for _, name := range b.tests {
		switch parts := b.peer.parts[name]; {
		case slices.Contains(s.skip, name):
		case !wanted.MatchString(name), !has(name):
		case apart(name):
			shards = append(shards, shard{tests: []string{name}})
		case parts != nil:
			rest := shard{tests: []string{name}}
			for _, part := range parts {
				rest.but = append(rest.but, name+"/"+part)
				if slices.Contains(s.skip, name+"/"+part) {
					continue
				}
				shards = append(shards, shard{tests: []string{name + "/" + part}})
			}
			shards = append(shards, rest)
		default:
			small = append(small, name)
		}
	}
	// Neighbours stay together: some of them wait for each other's timers.
	for per := len(small)/(2**atOnce) + 1; len(small) > 0; {
		n := min(per, len(small))
		shards, small = append(shards, shard{tests: small[:n]}), small[n:]
	}
	return b.all(s, shards)
}

// again runs the tests that names are of once more, each by itself.
func (b *binary) again(s setting, names []string) *results {
	var shards []shard
	had := map[string]bool{}
	for _, name := range names {
		top, rest, _ := strings.Cut(name, "/")
		if b.peer.parts[top] != nil && rest != "" {
			part, _, _ := strings.Cut(rest, "/")
			top += "/" + part
		}
		if !had[top] {
			had[top] = true
			shards = append(shards, shard{tests: []string{top}})
		}
	}
	return b.all(s, shards)
}

// all runs shards, some at once.
func (b *binary) all(s setting, shards []shard) *results {
	sum := newResults()
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, *atOnce)
	for _, sh := range shards {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r := b.shard(s, sh)
			mu.Lock()
			defer mu.Unlock()
			sum.add(r)
		})
	}
	wg.Wait()
	return sum
}

// shard runs tests in one process, or in several: one that hangs or crashes takes down
// what comes behind it.
func (b *binary) shard(s setting, sh shard) *results {
	r := newResults()
	for len(sh.tests) > 0 {
		p := &process{binary: b, setting: s, shard: sh}
		if err := p.run(); err != nil {
			r.broken = append(r.broken, err.Error())
		}
		r.add(p.results)
		if !p.died {
			break
		}
		left := slices.DeleteFunc(slices.Clone(sh.tests), func(name string) bool {
			top, _, _ := strings.Cut(name, "/")
			return p.begun[top]
		})
		if len(left) == len(sh.tests) {
			break
		}
		sh.tests = left
	}
	return r
}

// pattern is what -test.run or -test.skip get for tests. Whole ones are one expression,
// as package testing compiles each alternative anew for each test there is.
func pattern(tests []string) string {
	var whole, alts []string
	for _, name := range tests {
		top, part, ok := strings.Cut(name, "/")
		if !ok {
			whole = append(whole, regexp.QuoteMeta(top))
			continue
		}
		alts = append(alts, "^"+regexp.QuoteMeta(top)+"$/^"+regexp.QuoteMeta(part)+"$")
	}
	if whole != nil {
		alts = append(alts, "^("+strings.Join(whole, "|")+")$")
	}
	return strings.Join(alts, "|")
}

// logName is a file for the output of a process, where it is kept.
func (b *binary) logName(s setting, sh shard) string {
	name := strings.NewReplacer("/", "-", " ", "-").Replace(b.peer.name + "-" + s.name + "-" + sh.tests[0])
	return filepath.Join(b.ws.dir, name+".log")
}
