/* SPDX-License-Identifier: GPL-2.0-only */
/* The BPF object, carried in the command so that it is found without installation. */
	.section .rodata
	.balign 8
	.global shift_object
	.global shift_object_end
shift_object:
	.incbin "bpf/shift_tc.bpf.o"
shift_object_end:
	.byte 0
	.section .note.GNU-stack, "", @progbits
