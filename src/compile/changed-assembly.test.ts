// What is compared here decides whether the builder replaced the right functions: an oracle that is wrong is worse than none.

import { expect, test } from 'vitest';
import { changedFunctions, changedInEither } from './changed-assembly.ts';

const file = (text: string, label = 5, constant = 0) => `
	.section	.rodata.f.str1.4,"aMS",%progbits,1
	.align	2
.LC${constant}:
	.ascii	"${text}\\000"
	.section	.text.f,"ax",%progbits
	.type	f, %function
f:
	ldr	r0, .L${label}
	bl	printk
	bx	lr
.L${label}:
	.word	.LC${constant}
	.word	count.${constant}
	.size	f, .-f
	.type	g.isra.${constant}, %function
g.isra.${constant}:
	b	.L${label + 1}
.L${label + 1}:
	bx	lr
	.size	g.isra.${constant}, .-g.isra.${constant}
`;

test('numbers of labels, constants and copies do not count', () => {
  expect(changedFunctions(file('hello'), file('hello', 77, 9))).toMatchObject({ changed: [], added: [], removed: [] });
});

test('a label that nothing leads to does not count', () => {
  expect(changedFunctions(file('hello'), file('hello').replace('bx	lr', '.L99:\n	bx	lr')).changed).toEqual([]);
});

test('what stands behind a label does', () => {
  expect(changedFunctions(file('hello'), file('other'))).toMatchObject({ changed: ['f'], added: [], removed: [] });
  expect(changedFunctions(file('v1.2 .LC7'), file('v1.3 .LC7')).changed).toEqual(['f']);
});

test('an instruction does, in its function alone', () => {
  const after = file('hello', 7).replace('b	.L8', 'nop\n\tb	.L8');
  expect(changedFunctions(file('hello'), after)).toMatchObject({ changed: ['g.isra'], added: [], removed: [] });
});

test('it is told who names a function', () => {
  const after = file('hello').replace('bl	printk', 'bl	g.isra.0');
  expect(changedFunctions(file('hello'), after).callers).toEqual({ 'g.isra': ['f'] });
});

test('functions come and go', () => {
  const more = '\t.type	h, @function\nh:\n\tblr\n\t.size	h,.-h\n';
  expect(changedFunctions(file('x'), file('x') + more)).toMatchObject({ added: ['h'], removed: [] });
  expect(changedFunctions(file('x') + more, file('x'))).toMatchObject({ added: [], removed: ['h'] });
});

test('a constant that refers to a constant is looked into, and to itself without end is not', () => {
  const through = (text: string) => `.LC1:\n\t.quad	.LC2\n.LC2:\n\t.string	"${text}"\n.LC3:\n\t.quad .LC3
	.type	f, @function\nf:\n\tld 3,.LC1@toc@l(3)\n\tld 3,.LC3@toc@l(3)\n\t.size	f,.-f\n`;
  expect(changedFunctions(through('a'), through('b')).changed).toEqual(['f']);
  expect(changedFunctions(through('a'), through('a')).changed).toEqual([]);
});

test('a constant that stands for another one is that one', () => {
  const direct = '.LC1:\n\t.string	"a"\n\t.type	f, @function\nf:\n\tld 3,.LC1@toc@l(3)\n\t.size	f,.-f\n';
  const through = direct.replace('ld 3,.LC1', 'ld 3,.LC7');
  expect(changedFunctions(direct, `${through}.set .LC7,.LC1\n`).changed).toEqual([]);
  expect(changedFunctions(direct, through.replace('f:', 'f:\n.set .LC7,.LC1')).changed).toEqual([]);
  expect(changedFunctions(direct, through).changed).toEqual(['f']);
});

test('what __COUNTER__ is in the name of is what it holds', () => {
  const descriptor = (number: number, format: string, line = 12) => `	.section	__dyndbg,"aw"
	.type	__UNIQUE_ID_ddebug${number}, %object
	.size	__UNIQUE_ID_ddebug${number}, 8
__UNIQUE_ID_ddebug${number}:
	.word	.LC${number}
	.word	${line}
	.section	.rodata.str1.4
.LC${number}:
	.ascii	"${format}"
	.type	f, %function
f:
	ldr	r0, =__UNIQUE_ID_ddebug${number}+20
	.size	f, .-f
`;
  expect(changedFunctions(descriptor(4, 'a'), descriptor(5, 'a')).changed).toEqual([]);
  expect(changedFunctions(descriptor(4, 'a'), descriptor(4, 'b')).changed).toEqual(['f']);
  // The line of a message in a function that has moved.
  expect(changedFunctions(descriptor(4, 'a'), descriptor(4, 'a', 99)).changed).toEqual([]);
});

test('what the kernel has a changed function inlined in has changed too, under the name that it has for the patch', () => {
  const f = (name: string, text: string) =>
    `\t.type	${name}, @function\n${name}:\n\t${text}\n\t.size	${name},.-${name}\n`;
  const forPatch = (text: string) => f('g', text) + f('h', 'bl g') + f('k', 'bl g');
  const asKernel = (text: string) => f('g', text) + f('h.part.0', text) + f('k', 'bl g');
  const states = (make: (text: string) => string) => [make('li 3,1'), make('li 3,2')] as const;
  expect(changedInEither(states(forPatch), states(forPatch)).changed).toEqual(['g']);
  expect(changedInEither(states(forPatch), states(asKernel)).changed).toEqual(['g', 'h']);
});
