// What a fix must not contain. Kbuild leaves these checks to modpost, which a patch does not go through, or there is nothing in
// the kernel that would make use of it in a patch.

import { SHF_ALLOC } from '../elf/constants.ts';
import { findSection, isSection } from '../elf/elf.ts';
import type { ElfModel, Section } from '../elf/model.ts';
import { readModinfo } from '../kernel/modinfo.ts';
import type { Reason } from '../reason.ts';

/** Memory that the loader frees once init has run: by this prefix (kernel/module/main.c, Linux 6.1, module_init_section). */
const isInit = ({ name }: Section) => name.startsWith('.init');

/** Tables of the loader's, which it cuts down itself to what stays when init memory goes. */
const trimmed = /^(__mcount_loc|__bug_table|__jump_table|__dyndbg|__ex_table|\.gnu\.linkonce\.this_module)/;

/** Everything in the compiled fix that cannot go into a patch. */
export function checkFix(object: ElfModel): Reason[] {
  return [...initReferences(object), ...forbiddenSections(object), ...licenses(object)];
}

/** Code or data that stays must not refer to what is freed. */
function initReferences(object: ElfModel): Reason[] {
  const seen = new Set<string>();
  return (
    object.sections
      .filter((section) => (section.flags & SHF_ALLOC) !== 0n && !isInit(section) && !trimmed.test(section.name))
      // What is linked to init code (its unwind table) goes with it.
      .filter(({ link }) => link === undefined || !isInit(link))
      .flatMap((section) =>
        section.relocations.flatMap(({ symbol, offset }): Reason[] => {
          const target = symbol?.place;
          if (!isSection(target) || !isInit(target)) return [];
          const name = symbol!.name || target.name;
          if (seen.has(`${section.name} ${name}`)) return [];
          seen.add(`${section.name} ${name}`);
          return [
            {
              code: 'init-text',
              place: `${section.name}+0x${offset.toString(16)}`,
              message: `it refers to ${name}, which is gone once the patch is loaded`,
              remedy: 'take __init or __initdata off it',
            },
          ];
        }),
      )
  );
}

/** Sections that mean nothing in a patch, or more than meets the eye. */
const forbidden: readonly (readonly [RegExp, what: string])[] = [
  [/^_{2,3}ksymtab/, 'it exports a symbol, and a patch comes and goes'],
  [/^\.(init_array|ctors|fini_array|dtors)/, 'it has a constructor, which would run before the patch is looked at'],
  [/^\.initcall/, 'it has an initcall of its own'],
];

function forbiddenSections(object: ElfModel): Reason[] {
  return object.sections.flatMap(({ name }): Reason[] => {
    const found = forbidden.find(([pattern]) => pattern.test(name));
    return found ? [unsupported(name, found[1], 'leave it out of the fix')] : [];
  });
}

/** The patch brings the one license under which it may use the kernel. */
function licenses(object: ElfModel): Reason[] {
  const entries = readModinfo(findSection(object, '.modinfo')?.data ?? new Uint8Array());
  const own = entries.filter(([key]) => key === 'license').length;
  return own > 1
    ? [unsupported('.modinfo', 'it has a MODULE_LICENSE of its own', 'leave it out: patches are GPL')]
    : [];
}

const unsupported = (place: string, message: string, remedy: string): Reason => ({
  code: 'fix-unsupported',
  place,
  message,
  remedy,
});
