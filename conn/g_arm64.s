//go:build linux

#include "textflag.h"

// func gword(off uintptr) uintptr
TEXT ·gword(SB), NOSPLIT, $0-16
	MOVD off+0(FP), R0
	ADD  g, R0, R0
	MOVD (R0), R0
	MOVD R0, ret+8(FP)
	RET

// func getg() uintptr
TEXT ·getg(SB), NOSPLIT, $0-8
	MOVD g, ret+0(FP)
	RET
