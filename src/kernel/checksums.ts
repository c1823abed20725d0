// The checks of the xz format (xz-file-format.txt 1.2.1, section 6): CRC32 as in IEEE 802.3 and CRC64 as in ECMA-182,
// both reflected, with all ones before and after.

const crc32Polynomial = 0xedb88320;

/** The high and the low half of 0xc96c5795d7870f42. */
const crc64Polynomial = [0xc96c5795, 0xd7870f42] as const;

const crc32Table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? crc32Polynomial : 0);
  return crc;
});

// 64-bit numbers as two halves: BigInt would take a second for a kernel.
const crc64High = new Uint32Array(256);
const crc64Low = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let high = 0;
  let low = byte;
  for (let bit = 0; bit < 8; bit++) {
    const carry = low & 1;
    low = ((low >>> 1) | (high << 31)) ^ (carry ? crc64Polynomial[1] : 0);
    high = (high >>> 1) ^ (carry ? crc64Polynomial[0] : 0);
  }
  crc64High[byte] = high;
  crc64Low[byte] = low;
}

export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ crc32Table[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}

export function crc64(bytes: Uint8Array): bigint {
  let high = 0xffffffff;
  let low = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    const entry = (low ^ bytes[i]!) & 0xff;
    low = ((low >>> 8) | (high << 24)) ^ crc64Low[entry]!;
    high = (high >>> 8) ^ crc64High[entry]!;
  }
  return (BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0);
}
