//go:build linux && (amd64 || arm64)

package conn

import "hash/crc32"

// place gives a, which l has accepted, to the loop that it is to go to. From then on
// it is in that loop's load, so that others which are placed meanwhile count it.
func (l *loop) place(a arrival) {
	to := l.choose(a.peer)
	to.load.Add(1)
	if to == l {
		l.welcome(a)
	} else if !to.hand(a) {
		to.load.Add(-1)
		l.load.Add(1)
		l.welcome(a)
	}
}

func (l *loop) choose(peer sockaddr) *loop {
	g := l.group
	switch g.opt.balance {
	case BalanceEven:
		// A connection costs a wake-up to move. Where there are many the
		// kernel's hash is even enough; where there are few it leaves
		// processors idle: of four connections, one time in eight it puts all
		// onto one of two loops.
		if least := l.least(); l.load.Load()+1 > 2*least.load.Load() && least != l {
			return least
		}
	case BalanceRoundRobin:
		return g.nextLoop()
	case BalanceLeast:
		return l.least()
	case BalanceSource:
		ip := peer.ip // of its own, for it goes to the heap
		return g.loops[crc32.ChecksumIEEE(ip[:])%uint32(len(g.loops))]
	}
	return l
}

// least is the loop of the group with the fewest connections, l if it is one of
// them.
func (l *loop) least() *loop {
	least := l
	for _, o := range l.group.loops {
		if o.load.Load() < least.load.Load() {
			least = o
		}
	}
	return least
}
