import { defineConfig } from 'vitest/config';

// What needs kernels that `npm run kernels` builds, which takes a while: no part of `npm test`.
export default defineConfig({
  test: {
    name: 'kernels',
    include: ['test/kernels/**/*.test.ts'],
    environment: 'node',
    testTimeout: 600_000,
    hookTimeout: 600_000,
    fileParallelism: false,
  },
});
