// What binutils' readelf says of files, without what may change when a file is written anew: where in the file things
// stand, and how long the tables of names are. Everything else stays, section numbers and symbol numbers included.

import { run } from '../../src/host/run.ts';

/** A section as readelf lists it. */
interface ListedSection {
  readonly name: string;
  readonly type: string;
  /** In the file. */
  readonly offset: number;
  readonly size: number;
}

export interface ReadelfView {
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
export async function readelf(crossPrefix: string, files: readonly string[]): Promise<ReadelfView[]> {
  const { stdout, stderr } = await run(`${crossPrefix}readelf`, ['-aW', ...files], { env: { LC_ALL: 'C' } });
  if (stderr) throw new Error(`readelf complains: ${stderr}`);
  // With more than one file each begins with its name.
  const outputs = files.length === 1 ? ['', stdout] : stdout.split(/^\nFile: .*\n/m);
  if (outputs.length !== files.length + 1) throw new Error('readelf did not list every file');
  return outputs.slice(1).map(view);
}
