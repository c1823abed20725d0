// The streams of the web platform, which browsers and Node have as globals and @types/node 20.9 does not.

import { reasonError } from '../reason.ts';

interface Reader {
  read(): Promise<{ done: boolean; value?: Uint8Array }>;
  cancel(): Promise<void>;
}

/** A stream of bytes, as far as it is used here. */
export interface ByteStream {
  getReader(): Reader;
  pipeThrough(transform: unknown): ByteStream;
}

interface WebPlatform {
  readonly ReadableStream: new (source: {
    start(controller: { enqueue(chunk: Uint8Array): void; close(): void }): void;
  }) => ByteStream;
  readonly DecompressionStream: new (format: 'gzip') => unknown;
}

export const { ReadableStream, DecompressionStream } = globalThis as unknown as WebPlatform;

/** A stream that gives these chunks and ends. */
export function streamOf(...chunks: Uint8Array[]): ByteStream {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

/**
 * All bytes of a stream. Throws `packed-data-unreadable` as soon as there are more than `limit`; whatever error the
 * stream itself has goes through.
 */
export async function collect(stream: ByteStream, place: string, limit: number): Promise<Uint8Array> {
  const reader = stream.getReader();
  const chunks = new Chunks(place, limit);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return chunks.joined();
    try {
      if (value) chunks.add(value);
    } catch (error) {
      await reader.cancel();
      throw error;
    }
  }
}

/** Collects decompressed bytes up to a limit. */
export class Chunks {
  readonly #place: string;
  readonly #limit: number;
  readonly #chunks: Uint8Array[] = [];
  #size = 0;

  constructor(place: string, limit: number) {
    this.#place = place;
    this.#limit = limit;
  }

  /** Throws `packed-data-unreadable` when the limit is passed. */
  add(chunk: Uint8Array): void {
    this.#size += chunk.length;
    if (this.#size > this.#limit) throw tooLarge(this.#place, this.#limit);
    this.#chunks.push(chunk);
  }

  joined(): Uint8Array {
    const all = new Uint8Array(this.#size);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }
}

export function tooLarge(place: string, limit: number) {
  return unreadable(place, `it unpacks to more than the ${limit} bytes that it may have`);
}

export function unreadable(place: string, message: string) {
  return reasonError('packed-data-unreadable', place, message, 'Get the file anew: it is damaged.');
}
