// What the guest wrote to its console: the firmware's words, the kernel's log, init's last words.

/** As much as is kept, in characters: a kernel that prints without end must not take our memory. */
const kept = 4 << 20;

export class Console {
  #text = '';
  /** Characters that came before what is kept. */
  #dropped = 0;

  push(bytes: Uint8Array): void {
    this.#text += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
    if (this.#text.length < 2 * kept) return;
    this.#dropped += this.#text.length - kept;
    this.#text = this.#text.slice(-kept);
  }

  /** A place in the text, for `since`. */
  get position(): number {
    return this.#dropped + this.#text.length;
  }

  /** All lines since a position, without carriage returns. */
  since(position: number): string {
    return this.#text.slice(Math.max(0, position - this.#dropped)).replaceAll('\r', '');
  }

  get text(): string {
    return this.since(0);
  }

  /** The last lines, for the message of a failure. */
  tail(lines = 40): string {
    return this.text.trimEnd().split('\n').slice(-lines).join('\n');
  }

  /** Whether the kernel has given up. From then on it prints no more than the reason. */
  get panicked(): boolean {
    return this.#text.includes('Kernel panic - not syncing');
  }
}
