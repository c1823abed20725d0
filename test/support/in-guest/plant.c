// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process without privileges that puts an address of its choice wherever it can in
 * its kernel stack, and sleeps. For tests; no C library.
 *
 *	plant HOW ADDRESS	(hexadecimal)
 *
 * poll: as the descriptors of poll(), which keeps them on its stack, and in all
 *	registers; sleeps for ever.
 * fault: in all registers, and reads from /proc/bed into memory whose pages sleep.
 * copy: likewise, so many bytes that the kernel copies them with a loop.
 * touch: touches such memory itself.
 * exit: as poll, in the parent of a process that is held, by ptrace(), in its exit,
 *	which it began with the address in all registers.
 * signal: as poll, out of a signal's handler, whose frame has been filled with it.
 */
#define AT_FDCWD	(-100)

typedef unsigned long word;

#ifdef __arm__
enum { NR_read = 3, NR_open = 5, NR_kill = 37, NR_getpid = 20, NR_mmap = 192,
       NR_sigaction = 174, NR_poll = 168, NR_exit = 1, NR_fork = 2, NR_wait4 = 114,
       NR_ptrace = 26 };

/* All registers that a call keeps hold @fill when the kernel is entered. */
static long call(word number, word a, word b, word c, word d, word e, word fill)
{
	register word r0 asm("r0") = a;
	register word r1 asm("r1") = b;
	register word r2 asm("r2") = c;
	register word r3 asm("r3") = d;
	register word r4 asm("r4") = fill ? fill : e;
	register word r5 asm("r5") = fill;
	register word r6 asm("r6") = fill;
	register word r8 asm("r8") = fill;
	register word r9 asm("r9") = fill;
	register word r10 asm("r10") = fill;
	register word r12 asm("r12") = number;

	asm volatile("push {r7, r11}\n\t"
		     "mov r11, r10\n\t"
		     "mov r7, r12\n\t"
		     "mov r12, r10\n\t"
		     "svc 0\n\t"
		     "pop {r7, r11}"
		     : "+r"(r0)
		     : "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5), "r"(r6), "r"(r8),
		       "r"(r9), "r"(r10), "r"(r12)
		     : "memory", "lr");
	return (int)r0;
}
#else
enum { NR_read = 3, NR_open = 5, NR_kill = 37, NR_getpid = 20, NR_mmap = 90,
       NR_sigaction = 173, NR_poll = 167, NR_exit = 1, NR_fork = 2, NR_wait4 = 114,
       NR_ptrace = 26 };

static long call(word number, word a, word b, word c, word d, word e, word fill)
{
	register word r0 asm("r0") = number;
	register word r3 asm("r3") = a;
	register word r4 asm("r4") = b;
	register word r5 asm("r5") = c;
	register word r6 asm("r6") = d;
	register word r7 asm("r7") = e;
	register word r8 asm("r8") = 0;
	register word r9 asm("r9") = fill;

	asm volatile("mr 14,9; mr 15,9; mr 16,9; mr 17,9; mr 18,9; mr 19,9\n\t"
		     "mr 20,9; mr 21,9; mr 22,9; mr 23,9; mr 24,9; mr 25,9\n\t"
		     "mr 26,9; mr 27,9; mr 28,9; mr 29,9; mr 30,9; mr 31,9\n\t"
		     "mr 10,9; mr 11,9; mr 12,9; mtctr 9; mtlr 9\n\t"
		     "sc"
		     : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7),
		       "+r"(r8), "+r"(r9)
		     :
		     : "memory", "cr0", "ctr", "lr", "r10", "r11", "r12", "r14", "r15",
		       "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24",
		       "r25", "r26", "r27", "r28", "r29", "r30", "r31");
	return r3;
}
#endif

struct action {
	void (*handler)(int);
	word flags;
	void (*restorer)(void);
	unsigned char mask[128];
};

static word address;

/* Thirty fit on the kernel's stack (POLL_STACK_ALLOC in fs/select.c). */
static word polled[64];

static void sleep_in_poll(void)
{
	unsigned int i;

	/*
	 * Negative descriptors are not looked at, and stay. With 64 bits the upper half
	 * of the address is one; the lower half is in part the kernel's to overwrite.
	 */
	for (i = 0; i < 64; i++)
		polled[i] = sizeof(word) == 4 ? address :
						address << 16 << 16 | address >> 16 >> 16;
	call(NR_poll, (word)polled, 24, -1, 0, 0, address);
}

static void on_signal(int signal)
{
	sleep_in_poll();
}

enum { PTRACE_TRACEME = 0, PTRACE_CONT = 7, PTRACE_SETOPTIONS = 0x4200,
       PTRACE_O_TRACEEXIT = 0x40, SIGSTOP = 19 };

static void hold_in_exit(void)
{
	long child = call(NR_fork, 0, 0, 0, 0, 0, 0);

	if (!child) {
		call(NR_ptrace, PTRACE_TRACEME, 0, 0, 0, 0, 0);
		call(NR_kill, call(NR_getpid, 0, 0, 0, 0, 0, 0), SIGSTOP, 0, 0, 0, 0);
		call(NR_exit, 0, 0, 0, 0, 0, address);
	}
	call(NR_wait4, child, 0, 0, 0, 0, 0);
	call(NR_ptrace, PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEEXIT, 0, 0);
	call(NR_ptrace, PTRACE_CONT, child, 0, 0, 0, 0);
	call(NR_wait4, child, 0, 0, 0, 0, 0);
}

static void sleep_in_fault(word size)
{
	long file = call(NR_open, (word)"/proc/bed", 2, 0, 0, 0, 0);
	/* PROT_READ | PROT_WRITE, MAP_SHARED; a page of 64 KiB at least. */
#ifdef __arm__
	/* mmap2() takes a sixth argument too: the offset, in r5. */
	register word r0 asm("r0") = 0;
	register word r1 asm("r1") = 1 << 16;
	register word r2 asm("r2") = 3;
	register word r3 asm("r3") = 1;
	register word r4 asm("r4") = file;
	register word r5 asm("r5") = 0;
	register word r6 asm("r6") = NR_mmap;

	asm volatile("push {r7}; mov r7, r6; svc 0; pop {r7}"
		     : "+r"(r0) : "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5), "r"(r6)
		     : "memory");
#else
	word r0 = call(NR_mmap, 0, 1 << 16, 3, 1, file, 0);
#endif
	if (!size)
		*(volatile char *)r0 = 0;
	call(NR_read, file, r0, size, 0, 0, address);
}

static void plant(word *stack)
{
	char **arguments = (char **)(stack + 1);
	const char *digit;
	static struct action action;

	for (digit = arguments[2]; *digit; digit++)
		address = address << 4 | (*digit <= '9' ? *digit - '0' : *digit - 'a' + 10);

	if (arguments[1][0] == 'f')
		sleep_in_fault(1);
	if (arguments[1][0] == 'c')
		sleep_in_fault(256);
	if (arguments[1][0] == 't')
		sleep_in_fault(0);
	if (arguments[1][0] == 'e')
		hold_in_exit();
	if (arguments[1][0] == 's') {
		action.handler = on_signal;
		call(NR_sigaction, 10, (word)&action, 0, 8, 0, 0);
		/* The registers at the signal are what its frame holds. */
		call(NR_kill, call(NR_getpid, 0, 0, 0, 0, 0, 0), 10, 0, 0, 0, address);
	}
	sleep_in_poll();
	call(NR_exit, 1, 0, 0, 0, 0, 0);
}

#ifdef __arm__
asm(".globl _start\n_start:\n\tmov r0, sp\n\tb start\n");
#else
asm(".globl _start\n_start:\n\taddis 2,12,.TOC.-_start@ha\n\taddi 2,2,.TOC.-_start@l\n\t"
    "mr 3,1\n\tstdu 1,-128(1)\n\tbl start\n\tnop\n");
#endif
void start(word *stack)
{
	plant(stack);
}
