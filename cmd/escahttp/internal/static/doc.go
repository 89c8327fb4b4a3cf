// Package static decides what a request for a file is answered with: status,
// header fields, and a body that is bytes or spans of one version of a file. It
// does not know the protocol; package http1 is its end for HTTP/1.
//
//	Handler     the chain of steps that a request goes through, in order
//	find        path → version; encodings: Accept-Encoding → the version or a coded one;
//	            conditions: If-Match and its kin; ranges: Range
//	archive     a folder in one file: the walk says what is in it, the stream is the body
//	markdown    Markdown as a page, which is kept like what is coded
//	Answer      what they have decided, and Body, which sends it
//	files       name → version: small ones in memory, larger ones as a copy in
//	            memory behind a descriptor, the largest as the open file
//	Version     one version of a file, with what its header fields say
//	stamp       what stat says of a file: what tells versions apart
//	tags        entity tags: by contents, by time, or from FILE.etag
//	root        the directory served, which is a name and is looked up again
//	directory   opening beneath it, and nothing outside
//	sweep       lets go of what nobody asks for any more
//
// What is sent under a tag are the bytes of that tag. Copies cannot change. A
// file that is sent itself is looked at (fstat) before, and once more when all
// but the end of it was sent: if it has changed, the body stays incomplete. What
// the client may not have read by then is copied, as the pages that sendfile gives
// to the network are still the file's (unread).
package static
