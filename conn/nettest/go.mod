module github.com/escahttp/esca/conn/nettest

go 1.26.0

require (
	github.com/escahttp/esca v0.1.0
	golang.org/x/net v0.62.0
)

require golang.org/x/sys v0.49.0 // indirect
