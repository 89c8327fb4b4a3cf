//go:build linux

package main

import (
	"flag"
	"fmt"
)

// loadsHelp lists the loads by how their names begin.
const loadsHelp = `
Each load can be run by itself, in a minute, by its name or the beginning of it
(-list -run . has all names):

  go run ./bench -run '^tls/full/'

  hello, pipeline16         a line, over 1 to 10,000 connections; 16 requests pipelined
  close, requests10         a connection for one request, and for ten
  unix                      over a unix socket
  idle                      memory of idle connections
  mix, upstream, spawn      handlers that block, ask another server, start goroutines
  late, inprocess           goroutines that nobody waits for; clients in the server's process
  postgres, slowfile        handlers that ask PostgreSQL; a file on a slow disk
  echo                      gnet's echo
  files, handler, site      files by size; 20 files of a site, one after another
  gzip                      a page that lies there compressed, and one that does not
  tls                       TLS: connections that are kept, new ones, resumed ones
  h2                        HTTP/2, by h2load
  rate                      latencies at a fixed rate, from when requests were due
  loop, degree, noise       the paper's figures; a server beside itself

nginx, lighttpd, h2o and h2load are Debian's (nginx-light, lighttpd, h2o,
nghttp2-client); Caddy and celeris are built from modules of their own, the first time
that a load asks for them, which takes some minutes. What is not there is named and left
out.
`

func usage() {
	fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./bench [flags]")
	flag.PrintDefaults()
	fmt.Fprint(flag.CommandLine.Output(), loadsHelp)
}
