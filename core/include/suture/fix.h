/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For FIX.c, the source of `suture build`.
 *
 * A function in FIX.c that has the name of one of the kernel's replaces that
 * one, and nothing needs to be said. Where the names differ, where the kernel
 * has several functions of the name, or where it stands in a module:
 *
 *	static int my_show(struct seq_file *m, void *v) { ... }
 *	SUTURE_REPLACES(my_show, show, 3, "");
 *
 * replaces the third `show` of kallsyms (sympos, counted from 1; 0 where the
 * name is the only one) in vmlinux ("").
 */
#ifndef _SUTURE_FIX_H
#define _SUTURE_FIX_H

/* A line of text for `suture build`, in a section that no module keeps. */
#define SUTURE_REPLACES(new_function, old_name, sympos, module)		\
	asm(".pushsection .suture.replaces, \"\", %progbits\n\t"	\
	    ".asciz \"" #new_function " " #old_name " " #sympos " " module "\"\n\t" \
	    ".popsection")

#endif /* _SUTURE_FIX_H */
