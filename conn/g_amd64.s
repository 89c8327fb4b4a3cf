//go:build linux

#include "textflag.h"

// func gword(off uintptr) uintptr
TEXT ·gword(SB), NOSPLIT, $0-16
	MOVQ TLS, AX
	MOVQ 0(AX)(TLS*1), AX
	ADDQ off+0(FP), AX
	MOVQ (AX), AX
	MOVQ AX, ret+8(FP)
	RET

// func getg() uintptr
TEXT ·getg(SB), NOSPLIT, $0-8
	MOVQ TLS, AX
	MOVQ 0(AX)(TLS*1), AX
	MOVQ AX, ret+0(FP)
	RET
