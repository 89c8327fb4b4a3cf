package main

import "runtime/debug"

// linked is the version that the linker is told by -X, which a release and make build do.
var linked string

// version is that, or the module's, if go install has built it.
func version() string {
	if linked != "" {
		return linked
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	return "devel"
}
