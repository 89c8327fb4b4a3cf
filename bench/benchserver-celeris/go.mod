module github.com/escahttp/esca/bench/benchserver-celeris

go 1.26.3

require (
	github.com/goceleris/celeris v1.4.10
	golang.org/x/sys v0.44.0
)

require (
	golang.org/x/net v0.54.0 // indirect
	golang.org/x/text v0.37.0 // indirect
)
