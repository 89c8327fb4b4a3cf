package certs

import (
	"fmt"
	"strings"
	"time"
)

// Doubts says what clients will refuse, a line each: certificates that are not valid at now, or not for
// the hosts that they are named for.
func (s *Set) Doubts(now time.Time) (list []string) {
	const day = "2006-01-02 15:04 MST"
	for _, p := range s.all {
		leaf := p.now.Load().Leaf
		switch {
		case now.After(leaf.NotAfter):
			list = append(list, fmt.Sprintf("the certificate %s has ended on %s, and clients refuse it: renew it", p.cert, leaf.NotAfter.UTC().Format(day)))
		case now.Before(leaf.NotBefore):
			list = append(list, fmt.Sprintf("the certificate %s begins on %s, and clients refuse it until then: look at this machine's clock", p.cert, leaf.NotBefore.UTC().Format(day)))
		}
		for _, name := range p.names {
			beneath := strings.Replace(name, "*.", "any.", 1)
			if leaf.VerifyHostname(beneath) != nil {
				list = append(list, fmt.Sprintf("the certificate %s is not for %s, where clients refuse it: give one that is (it is for %s)", p.cert, name, strings.Join(leaf.DNSNames, ", ")))
			}
		}
	}
	return list
}
