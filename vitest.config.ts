import { defineConfig } from 'vitest/config';

// Two projects: `rooms` needs nothing but Node and runs in seconds; `machine` needs the cross tools, the
// fetched kernels and QEMU, and runs one file at a time because a guest wants a core for itself.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'rooms',
          include: ['src/**/*.test.ts', 'bench/**/*.test.ts'],
          environment: 'node',
          // Only against what never ends: no test is about time, and the machine may be busy.
          testTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'machine',
          include: ['test/**/*.test.ts'],
          // vitest.kernels.config.ts has those.
          exclude: ['test/kernels/**'],
          environment: 'node',
          globalSetup: ['test/set-up.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
