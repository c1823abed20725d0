// Binds the kernel-resident core to one kernel: the functions that it uses although the kernel does not export them get
// their addresses, and a table says which kernel that is (core/bound.h). Kbuild leaves them undefined and weak.

import type { Architecture } from '../arch/arch.ts';
import { STB_GLOBAL } from '../elf/constants.ts';
import { readElf, writeElf } from '../elf/elf.ts';
import type { KernelImage } from '../kernel/image.ts';
import { reasonError } from '../reason.ts';
import { bindSymbol } from './bind-symbols.ts';
import { defineSymbol } from './finish-module.ts';
import { dataSection, putPointer } from './module-sections.ts';

/** The functions that the core may use beside those of `Architecture.coreFunctions`; no other is ever bound. */
const coreFunctions: readonly string[] = [
  'idle_task',
  'wake_up_state',
  'task_work_cancel_match',
  'find_module',
  'get_kprobe',
  'kprobe_blacklist_seq_start',
  'kprobe_blacklist_seq_stop',
  'return_to_handler',
  '__kretprobe_trampoline',
];

/** All of them for an architecture, in a fixed order. */
export const boundFunctions = (arch: Architecture): readonly string[] => [
  ...coreFunctions,
  ...arch.coreFunctions,
  ...(arch.coreMarks ?? []),
];

/** `suture_core_table` (struct suture_core_table in core/bound.h), in a section of its own. */
const tableSymbol = 'suture_core_table';
const tableSection = '.suture.core';

/** The bytes "SUTC" in a little-endian u32. */
const tableMagic = 0x43545553;

/**
 * The loadable core, from the suture.ko that Kbuild made. Same input, same bytes. Throws `bug` if the core uses what is not in
 * the list, and what `bindSymbol` throws if the kernel does not have such a function.
 */
export function bindCore(ko: Uint8Array, arch: Architecture, image: KernelImage): Uint8Array {
  const object = readElf(ko, 'suture.ko');
  const allowed = boundFunctions(arch);
  for (const symbol of object.symbols) {
    const { name, place } = symbol;
    if (place !== 'undefined' || name === tableSymbol || arch.loaderSymbols.includes(name)) continue;
    if (image.exports.has(name)) continue;
    if (!allowed.includes(name)) {
      throw reasonError('bug', 'suture.ko', `${name} is neither exported nor among what the core may be bound to`);
    }
    const mark = arch.coreMarks?.includes(name) ? image.symbol(name) : undefined;
    if (mark !== undefined) {
      Object.assign(symbol, { value: mark, place: arch.boundFunctionPlace, binding: STB_GLOBAL });
      continue;
    }
    const binding = bindSymbol({ image, core: new Map(), furtherSymbols: new Map() }, name);
    if (binding.kind !== 'function') {
      throw reasonError('kernel-unsupported', name, 'the core needs this function, and in this kernel it is none');
    }
    Object.assign(symbol, {
      value: binding.address | arch.codeBit,
      place: arch.boundFunctionPlace,
      binding: STB_GLOBAL,
    });
  }

  const { bytes: buildId, address } = image.buildId;
  const word = arch.elf.class / 8;
  const idOffset = 8 + 2 * word;
  const section = dataSection(tableSection, new Uint8Array(idOffset + buildId.length), 8);
  const view = new DataView(section.data.buffer);
  view.setUint32(0, tableMagic, true);
  view.setUint32(4, buildId.length, true);
  if (word === 8) view.setBigUint64(8, address, true);
  else view.setUint32(8, Number(address), true);
  section.data.set(buildId, idOffset);
  object.sections.push(section);
  putPointer(arch, section, 8 + word, defineSymbol(object, tableSymbol, section), idOffset);
  return writeElf(object);
}
