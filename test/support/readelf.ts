// Whether two files mean the same, by a judge that is not ours.
//
// It is what binutils' readelf says of files, without what may change when a file is written anew: where in the file things
// stand, and how long the tables of names are. Everything else stays, section numbers and symbol numbers included. And it
// is the bytes of every section, at the places that readelf gives.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readInput } from '../../src/host/files.ts';
import { run } from '../../src/host/run.ts';
import { withTemporaryFolder } from '../../src/host/temporary.ts';

/** A section as readelf lists it. */
interface ListedSection {
  readonly name: string;
  readonly type: string;
  /** In the file. */
  readonly offset: number;
  readonly size: number;
}

interface ReadelfView {
  readonly text: string;
  readonly sections: readonly ListedSection[];
}

/** `  [ 4] .rel.text  REL  00000000 00ac8c 001010 08  I 46  3  4`: number, name and type; address; offset; size; rest. */
const sectionLine = /^( {2}\[ *\d+\] .*?)([0-9a-f]{16}|[0-9a-f]{8}) ([0-9a-f]{6,}) ([0-9a-f]{6,}) ([0-9a-f]{2}.*)$/;

function view(output: string): ReadelfView {
  const sections: ListedSection[] = [];
  const lines = output.split('\n').map((line) => {
    const match = sectionLine.exec(line);
    if (!match)
      return line
        .replace(/^( {2}Start of section headers: +)\d+/, '$1…')
        .replace(/^((?:Relocation|Unwind) section '.*' at offset )0x[0-9a-f]+/, '$1…');
    const [, head, address, offset, size, rest] = match as unknown as [string, string, string, string, string, string];
    const [name = '', type = ''] =
      head
        .replace(/^ {2}\[ *\d+\] /, '')
        .match(/^(\S*) +(\S+)/)
        ?.slice(1) ?? [];
    sections.push({ name, type, offset: Number.parseInt(offset, 16), size: Number.parseInt(size, 16) });
    return `${head}${address} … ${name === '.strtab' || name === '.shstrtab' ? '…' : size} ${rest}`;
  });
  return { text: lines.join('\n'), sections };
}

/** `readelf -aW` of several files, by the readelf of a cross toolchain. Its warnings are part of what it says. */
async function readelf(crossPrefix: string, files: readonly string[]): Promise<ReadelfView[]> {
  const { stdout, stderr } = await run(`${crossPrefix}readelf`, ['-aW', ...files], { env: { LC_ALL: 'C' } });
  if (stderr) throw new Error(`readelf complains: ${stderr}`);
  // With more than one file each begins with its name.
  const outputs = files.length === 1 ? ['', stdout] : stdout.split(/^\nFile: .*\n/m);
  if (outputs.length !== files.length + 1) throw new Error('readelf did not list every file');
  return outputs.slice(1).map(view);
}

/** Sections whose bytes are offsets and indexes into others. What they mean, readelf tells. */
const madeAnew = new Set(['NULL', 'NOBITS', 'SYMTAB', 'STRTAB', 'REL', 'RELA', 'GROUP']);

interface File {
  readonly bytes: Uint8Array;
  readonly view: ReadelfView;
}

/** The first thing in which two files differ, or undefined. */
function difference(before: File, after: File): string | undefined {
  if (before.view.text !== after.view.text) {
    const lines = after.view.text.split('\n');
    const line = before.view.text.split('\n').findIndex((text, i) => text !== lines[i]);
    return `line ${line}: ${before.view.text.split('\n')[line]} -> ${lines[line]}`;
  }
  const contents = ({ bytes, view }: File, i: number) => {
    const { offset, size } = view.sections[i]!;
    return bytes.subarray(offset, offset + size);
  };
  const changed = before.view.sections.find(
    ({ type }, i) => !madeAnew.has(type) && Buffer.compare(contents(before, i), contents(after, i)) !== 0,
  );
  return changed && `the bytes of ${changed.name}`;
}

/**
 * Gives every file to `rewrite` and compares what comes out with the original. The result has `file: difference` for
 * each that does not mean the same.
 */
export async function changedMeanings(
  crossPrefix: string,
  files: readonly string[],
  rewrite: (bytes: Uint8Array, file: string) => Uint8Array,
): Promise<string[]> {
  return withTemporaryFolder(async (folder) => {
    const before = await Promise.all(files.map(readInput));
    const after = before.map((bytes, i) => rewrite(bytes, files[i]!));
    const copies = files.map((_, i) => join(folder, `${i}`));
    await Promise.all(copies.map((copy, i) => writeFile(copy, after[i]!)));
    const [viewsBefore, viewsAfter] = await Promise.all([readelf(crossPrefix, files), readelf(crossPrefix, copies)]);
    return files.flatMap((file, i) => {
      const found = difference(
        { bytes: before[i]!, view: viewsBefore[i]! },
        { bytes: after[i]!, view: viewsAfter[i]! },
      );
      return found ? [`${file}: ${found}`] : [];
    });
  });
}
