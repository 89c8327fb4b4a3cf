package acme

import (
	"crypto/x509"
	"time"
)

// autocert renews a certificate when a third of its time is left, thirty days at the most, tries again twice
// an hour where that fails, and tells nobody.
const (
	renewalShare = 3
	renewalMost  = 30 * 24 * time.Hour
)

// late is how long before the end of leaf it was to be renewed: a quarter of the time for that is over.
func late(leaf *x509.Certificate) time.Duration {
	return min(leaf.NotAfter.Sub(leaf.NotBefore)/renewalShare, renewalMost) * 3 / 4
}

// watch says when the certificate of name was not renewed, over and over, until m is closed.
func (m *Manager) watch(name string, leaf *x509.Certificate) {
	pause := time.Until(leaf.NotAfter.Add(-late(leaf)))
	for {
		select {
		case <-time.After(pause):
		case <-m.quit:
			return
		}
		cert, err := m.m.GetCertificate(hello(name))
		if err == nil && !cert.Leaf.NotAfter.Equal(leaf.NotAfter) {
			leaf = cert.Leaf
			pause = time.Until(leaf.NotAfter.Add(-late(leaf)))
			continue
		}
		m.o.Errorf("certificate for %s: it was to be renewed and is not, and ends on %s: look whether the authority can be reached, and asks back at port 80 or 443",
			name, leaf.NotAfter.UTC().Format(minutes))
		pause = late(leaf) / 10
	}
}
