//go:build linux

// Command benchserver is the server that bench drives: the same handlers on
// esca, on fasthttp's own server or on net/http; a constant answer on gnet; and
// echoes.
//
//	benchserver -runtime=esca -addr=127.0.0.1:0
//
// What it prints, and the signals it obeys, are those of serving.Main.
package main

import "github.com/escahttp/esca/bench/internal/serving"

// runtimes makes the services.
var runtimes = serving.Runtimes{}

func main() { serving.Main(runtimes) }
