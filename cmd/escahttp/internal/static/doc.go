// Package static serves the files beneath a directory over HTTP: a
// fasthttp.RequestHandler with a bounded cache.
//
//	Handler   the request: method, path, answer
//	cache     path → file: small ones in memory, larger ones as open descriptors
//	file      one version of a file, with what its headers say
//	ranges    the Range header; preconditions: If-Match and its kin (RFC 9110)
//
// Nothing outside the root is ever opened: every path is resolved beneath it by
// os.Root, symbolic links included.
package static
