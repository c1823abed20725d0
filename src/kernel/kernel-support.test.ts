// A kernel that cannot be patched is said to be one before anything is compiled for it.

import { describe, expect, it } from 'vitest';
import type { ReasonError } from '../reason.ts';
import { parseConfig } from './config.ts';
import { checkKernelSupport, checkNeedsCore } from './kernel-support.ts';

const least = ['CONFIG_MODULES=y', 'CONFIG_MMU=y'];
const stock = [...least, 'CONFIG_DYNAMIC_FTRACE_WITH_REGS=y', '# CONFIG_LIVEPATCH is not set'];
const check = (...lines: string[]) => checkKernelSupport(parseConfig(lines.join('\n')), 'k');

describe('the configuration of a kernel', () => {
  it('that lacks nothing passes', () => {
    expect(() => check(...stock)).not.toThrow();
    // Functions are redirected at their entries then.
    expect(() => check(...least)).not.toThrow();
  });

  it.each([
    ['without modules', stock.slice(1), /without CONFIG_MODULES/],
    ['that preempts itself without tracepoints', [...least, 'CONFIG_PREEMPTION=y'], /without CONFIG_TRACEPOINTS/],
    ['for a processor without an MMU', [stock[0]!], /without CONFIG_MMU/],
    ['whose code stays in flash memory', [...stock, 'CONFIG_XIP_KERNEL=y'], /with CONFIG_XIP_KERNEL/],
  ])('%s is refused', (_what, lines, message) => {
    try {
      check(...lines);
      expect.fail('it passed');
    } catch (error) {
      expect((error as ReasonError).reasons).toMatchObject([
        { code: 'kernel-unsupported', place: 'k', message: expect.stringMatching(message) },
      ]);
    }
  });

  it('with live patching of its own passes, and has no place for a core', () => {
    const config = parseConfig([...stock, 'CONFIG_LIVEPATCH=y'].join('\n'));
    expect(() => checkKernelSupport(config, 'k')).not.toThrow();
    expect(() => checkNeedsCore(parseConfig(stock.join('\n')), 'k')).not.toThrow();
    expect(() => checkNeedsCore(config, 'k')).toThrowError(
      expect.objectContaining({
        reasons: [
          expect.objectContaining({ code: 'kernel-unsupported', message: expect.stringMatching(/LIVEPATCH=y/) }),
        ],
      }),
    );
  });
});
