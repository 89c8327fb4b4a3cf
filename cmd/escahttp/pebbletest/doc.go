// Package pebbletest has escahttp get its certificates from Pebble, Let's Encrypt's ACME
// server for tests. It is a module of its own, so that nobody else needs Pebble.
package pebbletest
