//go:build linux && (amd64 || arm64)

package server

import "time"

// expectPreface has ss, the n-th of those that are open, begin with a preface: nobody is
// told of it before it has come. False: it is refused, and closed.
func (ss *session) expectPreface(n int64) bool {
	ss.fresh = true
	ss.marks.set(told)
	if !ss.hasRoom(n) {
		return false
	}
	if ss.sv.fs.ReadTimeout <= 0 {
		ss.nc().SetReadDeadline(time.Now().Add(prefaceTime))
	}
	return true
}

// readPreface reads it, as soon as something has come. False: there is nothing to serve
// at present.
func (ss *session) readPreface() bool {
	sv, c := ss.sv, ss.b.Conn()
	peer, err := sv.s.preface(c)
	if err != nil {
		c.Close()
		return false
	}
	ss.fresh = false
	if peer != nil {
		ss.b.SetRemoteAddr(peer)
	}
	if sv.fs.ReadTimeout <= 0 {
		c.SetReadDeadline(time.Time{})
	}
	ss.marks.clear(told)
	return ss.admit(sv.active.Load()) && (ss.b.Readable() || ss.b.Gone())
}
