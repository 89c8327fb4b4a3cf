package main

import "github.com/alecthomas/kong"

// groups are the headings of --help, the man page and the README: each begins with the flag
// named, in the order of serveCmd's fields.
var groups = map[string]string{
	"config":          "Addresses",
	"tls-cert":        "TLS and hosts",
	"access-log":      "Operations",
	"cache-size":      "Files",
	"index":           "Folders and paths",
	"precompressed":   "Compression",
	"trusted-proxies": "Access",
	"cache-control":   "Header fields",
	"revalidate":      "Times and limits",
}

// group puts the flags of all commands into their groups.
func group(app *kong.Application) {
	for _, n := range app.Leaves(false) {
		var now *kong.Group
		for _, f := range n.Flags {
			if title, ok := groups[f.Name]; ok {
				now = &kong.Group{Key: title, Title: title + ":"}
			}
			f.Group = now
		}
	}
}
