// What a standard livepatch module says of itself: its klp_patch with the objects and functions that hang on it, found in the
// module's data and the relocations of it, without running anything.
//
// A klp_patch is an object of data of that very size whose `mod` is relocated to __this_module
// (Documentation/livepatch/livepatch.rst, section 4.1, Linux 6.1: "struct klp_patch … .mod = THIS_MODULE"). Lists end with an
// entry of zeroes, as klp_for_each_object_static and klp_for_each_func_static in <linux/livepatch.h> see it.

import type { Architecture } from '../arch/arch.ts';
import { STT_FUNC, STT_OBJECT } from '../elf/constants.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import type { KlpLayout } from '../kernel/klp-layout.ts';
import { ModuleData, type Pointee } from '../kernel/module-data.ts';
import { tableLimits } from '../kernel/patch-module.ts';
import { reasonError } from '../reason.ts';
import { thisModuleSymbol } from './finish-module.ts';

export interface KlpFunc {
  readonly oldName: string;
  readonly sympos: number;
  readonly newFunction: ElfSymbol;
}

export interface KlpObject {
  /** The module's name, undefined for the kernel itself. */
  readonly module: string | undefined;
  readonly funcs: readonly KlpFunc[];
}

export interface KlpPatch {
  /** The variable's name. */
  readonly name: string;
  readonly objects: readonly KlpObject[];
}

/**
 * The klp_patch of a module; undefined if it has none and does not ask to be patched in either. `place` names the file.
 * Throws `klp-patch-unknown`.
 */
export function readKlpPatch(
  model: ElfModel,
  arch: Architecture,
  layout: KlpLayout,
  place: string,
): KlpPatch | undefined {
  const data = new ModuleData(arch, model);
  const found = model.symbols.filter((symbol) => isPatch(symbol, data, layout));
  // klp_enable_patch() of our header refers to a table that only Suture supplies.
  const enables = model.symbols.some(({ name, place: at }) => name === 'suture_patch_table' && at === 'undefined');
  const [patch, another] = found;
  if (!patch) {
    if (!enables) return undefined;
    throw unknown(
      place,
      'it calls klp_enable_patch(), but has no variable of type struct klp_patch with .mod = THIS_MODULE',
      'define the patch as a static variable; one that is made at run time cannot be adapted',
    );
  }
  if (another) {
    throw unknown(
      place,
      `it has more than one klp_patch: ${found.map(({ name }) => name).join(', ')}`,
      'one module has one patch',
    );
  }
  return { name: patch.name, objects: readObjects(patch, data, layout, place) };
}

function isPatch(symbol: ElfSymbol, data: ModuleData, { patch }: KlpLayout): boolean {
  if (symbol.type !== STT_OBJECT || symbol.size !== BigInt(patch.size) || !isSection(symbol.place)) return false;
  const owner = data.pointer(symbol.place, Number(symbol.value) + patch.offset.mod);
  return owner?.symbol.name === thisModuleSymbol && isOwnStart(owner);
}

/** Whether a pointer leads to the start of its symbol. */
const isOwnStart = ({ symbol, section, offset }: Pointee): boolean => offset === (section ? Number(symbol.value) : 0);

function readObjects(patch: ElfSymbol, data: ModuleData, layout: KlpLayout, place: string): KlpObject[] {
  const { object } = layout;
  const list = data.pointer(patch.place as Section, Number(patch.value) + layout.patch.offset.objs);
  if (!list?.section) throw unknown(place, `${patch.name}.objs does not lead to a list in the module`, staticData);
  const { section } = list;
  const objects: KlpObject[] = [];
  for (let at = list.offset; ; at += object.size) {
    const where = `${patch.name}.objs[${objects.length}]`;
    if (at + object.size > section.size) throw unknown(place, `${where}: the list has no end`, endOfList);
    const ofKernel = data.isNull(section, at + object.offset.name);
    const noFuncs = data.isNull(section, at + object.offset.funcs);
    if (ofKernel && noFuncs) return objects;
    if (objects.length >= tableLimits.objects) throw unknown(place, `${where}: the list has no end`, endOfList);
    const module = ofKernel ? undefined : data.string(section, at + object.offset.name);
    if (!ofKernel && !module) throw unknown(place, `${where}.name is no string in the module`, staticData);
    if (noFuncs)
      throw unknown(place, `${where}.funcs is NULL`, 'give it a list, which may be empty, as livepatch wants it');
    const funcs = data.pointer(section, at + object.offset.funcs);
    if (!funcs?.section) throw unknown(place, `${where}.funcs does not lead to a list in the module`, staticData);
    objects.push({ module, funcs: readFuncs(funcs.section, funcs.offset, data, layout, where, place) });
  }
}

function readFuncs(
  section: Section,
  start: number,
  data: ModuleData,
  { func }: KlpLayout,
  owner: string,
  place: string,
): KlpFunc[] {
  const { offset } = func;
  const funcs: KlpFunc[] = [];
  for (let at = start; ; at += func.size) {
    const where = `${owner}.funcs[${funcs.length}]`;
    if (at + func.size > section.size) throw unknown(place, `${where}: the list has no end`, endOfList);
    if ([offset.old_name, offset.new_func, offset.old_sympos].every((member) => data.isNull(section, at + member))) {
      return funcs;
    }
    if (funcs.length >= tableLimits.redirects) throw unknown(place, `${where}: the list has no end`, endOfList);
    const oldName = data.string(section, at + offset.old_name);
    if (!oldName) throw unknown(place, `${where}.old_name is no string in the module`, staticData);
    const newFunction = functionAt(section, at + offset.new_func, data);
    if (!newFunction) {
      // Mainline takes NULL for "does nothing any more" (.nop), which only it sets itself.
      throw unknown(place, `${where}.new_func (for ${oldName}) is no function of the module`, staticData);
    }
    const sympos = data.number(section, at + offset.old_sympos)!;
    if (sympos > 0xffffffffn) throw unknown(place, `${where}.old_sympos is ${sympos}`, 'it counts from 1');
    funcs.push({ oldName, sympos: Number(sympos), newFunction });
  }

  /** The function that a pointer leads to, which may be told as an offset of its section. */
  function functionAt(section: Section, offset: number, data: ModuleData): ElfSymbol | undefined {
    const to = data.pointer(section, offset);
    if (!to?.section) return undefined;
    if (to.symbol.type === STT_FUNC) return isOwnStart(to) ? to.symbol : undefined;
    return data.functionAt(to.section, to.offset);
  }
}

const staticData = 'let the static data say it, so that it can be read from the file';
const endOfList = 'end it with an entry of zeroes';

const unknown = (place: string, message: string, remedy: string) =>
  reasonError('klp-patch-unknown', place, message, remedy);
