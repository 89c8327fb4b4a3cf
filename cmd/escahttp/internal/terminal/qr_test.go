package terminal

import (
	"strings"
	"testing"

	"rsc.io/qr"
)

// What is drawn is the code, module for module.
func TestQR(t *testing.T) {
	const text = "http://192.168.178.20:8080/"
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := QR(text, false)
	if err != nil {
		t.Fatal(err)
	}
	var light [][2][]bool
	for line := range strings.Lines(plain) {
		var rows [2][]bool
		for _, r := range strings.TrimSuffix(line, "\n") {
			rows[0] = append(rows[0], r == '█' || r == '▀')
			rows[1] = append(rows[1], r == '█' || r == '▄')
		}
		light = append(light, rows)
	}
	for y := -quiet; y < code.Size+quiet; y++ {
		for x := -quiet; x < code.Size+quiet; x++ {
			row := light[(y+quiet)/2][(y+quiet)%2]
			if row[x+quiet] == code.Black(x, y) {
				t.Fatalf("the module at %d, %d is wrong in\n%s", x, y, plain)
			}
		}
	}
	coloured, _ := QR(text, true)
	if strings.Contains(plain, "\x1b") || strings.Count(coloured, "\x1b[0m\n") != strings.Count(plain, "\n") {
		t.Errorf("%q", coloured)
	}
	if _, err := QR(strings.Repeat("x", 10_000), false); err == nil {
		t.Error("a text that fits no code has one")
	}
}
