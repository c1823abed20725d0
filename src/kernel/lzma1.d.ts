// lzma1 0.3.0 ships its TypeScript sources as its types, and those do not pass this project's settings.

/** All of an LZMA_alone stream. Throws `Error` for one that it cannot decode. */
export function decompress(data: Uint8Array): Uint8Array;
