/* SPDX-License-Identifier: GPL-2.0-only */
/* The dashboard, carried in the daemon so that it is found without installation. */
	.section .rodata
	.global api_page
	.global api_page_end
api_page:
	.incbin "userspace/api/page.html"
api_page_end:
	.byte 0
	.section .note.GNU-stack, "", @progbits
