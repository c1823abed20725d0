// A piece of ARM code, and the same packed by each of the programs that kernels are packed with. They are made once and
// kept, so that no test needs those programs.

/** 150 words, every third one a `bl` to one function, and three bytes that fill no word. */
export const plain: Uint8Array = (() => {
  const words = Array.from({ length: 150 }, (_, i) =>
    i % 3 === 0 ? 0xeb000000 | (((0x4000 - 4 * i - 8) >> 2) & 0xffffff) : 0xe1a00000 | (i % 7),
  );
  return Uint8Array.from([
    ...words.flatMap((word) => [word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff, word >>> 24]),
    ...new TextEncoder().encode('end'),
  ]);
})();

const rows: readonly (readonly [compression: string, command: string, base64: string])[] = [
  [
    'xz',
    'xz --check=crc32 --arm --lzma2=dict=32MiB',
    '/Td6WFoAAAFpIt42AgEHACEBGgCvuxQ14AJaAC9dAAAEhiDhf8eW6OMOS0SXokPV7yprWFX5O6hlfWKAD8L6yfcbCOdAmtnSMiPU6cAAAAALh4' +
      '0NAAFH2wQAAAAWN0+gPjANiwIAAAAAAVla',
  ],
  [
    'xz',
    'xz --check=crc64',
    '/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4AJaAHhdAH8DvA4gjNjE3Mbm5MdLGOac1r+50dJcS+yrUo/wUIfTsppPvcrRZFqqlzvLnrFX9kTXJM' +
      'aPw47vB3frujmvzcIsRDR4pdPq3aBaNF9YE+wohQaDNGdCtCRjt1Z+85MpANiDQsENP402vtH5TRfOkWi67ta5AoTgAADDL5Xt/y11JwABlAHb' +
      'BAAAfD+ejrHEZ/sCAAAAAARZWg==',
  ],
  [
    'xz',
    'xz --check=crc32 --arm --lzma2=dict=64KiB --block-size=512',
    '/Td6WFoAAAFpIt42AgEHACEBCAB8y+BN4AH/ACxdAAAEhiDhf8eW6OMOS0SXokPV7yprWFX5O6hlfWKAD8L6yfcbCOdAmo+eaAAAAIwvcIYCAQ' +
      'cAIQEIAHzL4E3gAFoAK10AAQAUOUhOYcMjZFW5h5+DpZp0wxlOG0ZdrSHR7uOHl+QOAE/nR8zChqWUAAAArapr9QACRIAEQ1sA+RZjcz4wDYsC' +
      'AAAAAAFZWg==',
  ],
  [
    'gzip',
    'gzip -n -9',
    'H4sIAAAAAAACA03MUQcCYRSE4a+2uu1P1lUsERERERERS0SKiIiIiFgiIiIiIloRKSIiIs25ey+OGcZ5fml3j7leFNd91RPKpO6j7pS2vdU9pW' +
      '0v9ZTStqe6/dn2ULc/224wrzAvMM8wTzCPMA8w9zB3MLcwNzDXMFcwlzBDmAuYc5gzmFOYE5hjmCOYQ5gDmH2YXZgdmG2YAcwWzCbMBsw6zBrM' +
      'KswKzDLMEswizALMPEwfZg5m1s/8AQuHjQ1bAgAA',
  ],
  [
    'lzma',
    'lzma -9',
    'XQAAAAT//////////wB/A7wOIIzYxNzG5uTHSxjmnNa/udHSXEvsq1KP8FCH07KaT73K0WRaqpc7y56xV/ZE1yTGj8OO7wd367o5r83CLEQ0eK' +
      'XT6t2gWjRfWBPsKIUGgzRnQrQkY7dWfvOTKQDYg0LBDT+NNr7R+U0XzpFouu7WuRQEe+L/95sAAA==',
  ],
  [
    'lz4',
    'lz4 -l -9',
    'AiFMGAABAADwEf4PAOsBAKDhAgCg4fsPAOsEAKDhBQCg4fgPAOsAAKDhHACA9Q8A6wMAoOEcAIDyDwDrBgCg4RwAQO8PAOs4AAAcAEDsDwDrOA' +
      'AAHAAX6VQAF+ZUABfjVAAX4FQAF91UABfaVAAX11QAF9RUABfRVAAXzlQAF8tUABfIVAAXxVQAF8JUABe/VAAXvFQAF7lUABe2VAAXs1QAF7BU' +
      'ABetVAAXqlQAF6dUABekVAAXoVQAF55UABebVAAXmFQAF5VUABeSVAAXj1QAF4xUABeJVAAXhlQAF4NUABeAVAAXfVQAF3pUABd3VAAXdFQAF3' +
      'FUABduVAAVa1QAUKDhZW5k',
  ],
  [
    'zstd',
    'zstd -22 --ultra',
    'KLUv/QSI9QMAtAX+DwDrAQCg4QL7DwDrBAX4DwDrAAH1DwDrAwTyDwDrBgDvDwDrAgPsDwDrBQbp5uPg3drX1NHOy8jFwr+8ubazsK2qp6Shnp' +
      'uYlZKPjImGg4B9end0cW5rZW5kOKgQ6OkckL0ZgOL5tZxazpx1BRIWlMzjgymY3DBbujYFtn9weQ==',
  ],
];

/** Each with the program that made it, reading `plain` from a pipe. */
export const packed: readonly { compression: string; command: string; bytes: Uint8Array }[] = rows.map(
  ([compression, command, base64]) => ({ compression, command, bytes: Uint8Array.from(Buffer.from(base64, 'base64')) }),
);
