// System.map: what `nm -n vmlinux` prints of a kernel's symbols, code and data (scripts/mksysmap, Linux 6.1), a line each:
//
//   c0300000 T _stext

import { linkAddress } from '../elf/units.ts';
import { reasonError } from '../reason.ts';
import type { Kallsym } from './kallsyms.ts';

/** Some 150,000 lines and 6 MB for a kernel of a distribution. */
export const largestMap = 64 << 20;

/** Address, nm's letter for the kind, name; KSYM_NAME_LEN is 512. */
const linePattern = /^([0-9a-f]{8}|[0-9a-f]{16}) ([A-Za-z?-]) (\S{1,512})$/;

/** The symbols in the file's order. `place` is what errors call it. Throws `system-map-malformed`. */
export function readSystemMap(bytes: Uint8Array, place: string): Kallsym[] {
  const refuse = (where: string, message: string) =>
    reasonError(
      'system-map-malformed',
      where,
      message,
      'give the complete System.map that the build of the kernel left',
    );
  if (bytes.length > largestMap) throw refuse(place, `${bytes.length} bytes are more than any System.map has`);
  const text = new TextDecoder('latin1').decode(bytes);
  const symbols: Kallsym[] = [];
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at);
    const end = newline < 0 ? text.length : newline;
    // A line that is far too long is not worth a copy.
    const match = end - at > 600 ? null : linePattern.exec(text.slice(at, end));
    if (!match) throw refuse(`${place}: line ${symbols.length + 1}`, 'it is not an address, a letter and a name');
    symbols.push({ address: linkAddress(BigInt(`0x${match[1]}`)), type: match[2]!, name: match[3]! });
    at = end + 1;
  }
  return symbols;
}
