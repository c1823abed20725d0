// Answers that are kept by the instructions they are about: who makes a module and who proves it ask the same of the same words,
// and whole kernels have few different stubs.

/** Of how many words a sum is made at most: what it is equal for is compared anyway. */
const mostSummed = 64;

/**
 * What is known of lists of words, as long as there is room for them; then it begins anew. A list is looked up by a sum and compared word
 * by word.
 */
export class ByWords<T> {
  /** The lists, one behind the other: memory for each by itself would cost more than many an answer. */
  readonly #words: Uint32Array;
  #end = 0;
  readonly #known = new Map<number, { readonly start: number; readonly length: number; readonly answer: T }>();

  /** `room` is for so many words. */
  constructor(room: number) {
    this.#words = new Uint32Array(room);
  }

  /** The answer for words like these: the one that is known, or what `find` says, which is kept. */
  of(words: Uint32Array, find: (words: Uint32Array) => T): T {
    const sum = sumOf(words);
    const known = this.#known.get(sum);
    if (known && known.length === words.length && this.#isAt(known.start, words)) return known.answer;
    const answer = find(words);
    const { length } = words;
    if (length > this.#words.length) return answer;
    if (this.#end + length > this.#words.length) {
      this.#known.clear();
      this.#end = 0;
    }
    this.#words.set(words, this.#end);
    this.#known.set(sum, { start: this.#end, length, answer });
    this.#end += length;
    return answer;
  }

  #isAt(start: number, words: Uint32Array): boolean {
    for (let i = 0; i < words.length; i++) if (this.#words[start + i] !== words[i]) return false;
    return true;
  }
}

function sumOf(words: Uint32Array): number {
  const step = Math.ceil(words.length / mostSummed);
  let sum = words.length;
  for (let i = 0; i < words.length; i += step) sum = (Math.imul(sum, 31) + (words[i]! | 0)) | 0;
  return sum;
}
