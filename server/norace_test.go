//go:build !race

package server_test

// raceDetector is whether the tests run under it.
const raceDetector = false
