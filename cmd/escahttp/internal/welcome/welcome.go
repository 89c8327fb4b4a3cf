// Package welcome holds the site that escahttp serves when it is given no root.
package welcome

import (
	"embed"
	"io/fs"
)

//go:embed site
var site embed.FS

// FS returns the site, with index.html at its root.
func FS() fs.FS {
	sub, err := fs.Sub(site, "site")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}
