// Package peers has programs that live on datagrams run on conn's: miekg/dns,
// quic-go and pion/turn, unchanged, and x/net. It is a module of its own, so that esca does not
// depend on them. There is nothing in it but tests.
package peers
