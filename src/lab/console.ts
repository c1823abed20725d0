// What the guest wrote to its console: the firmware's words, the kernel's log, init's last words.

/** As much as is kept, in characters: a kernel that prints without end must not take our memory. */
const kept = 4 << 20;

export class Console {
  #text = '';

  push(bytes: Uint8Array): void {
    this.#text += new TextDecoder('latin1').decode(bytes).replaceAll('\r', '');
    if (this.#text.length > 2 * kept) this.#text = this.#text.slice(-kept);
  }

  get text(): string {
    return this.#text;
  }

  /** The last lines, for the message of a failure. */
  tail(lines = 40): string {
    return this.#text.trimEnd().split('\n').slice(-lines).join('\n');
  }

  /** Whether the kernel has given up (kernel/panic.c). From then on it prints no more than the reason. */
  get panicked(): boolean {
    return this.#text.includes('Kernel panic - not syncing');
  }
}
