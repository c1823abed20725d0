// suture audit: of every function of a kernel, whether it can be redirected, and why not.

import { InvalidArgumentError } from 'commander';
import type { LinkAddress } from '../elf/units.ts';
import { loadKernel } from '../host/read-kernel.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Way } from '../kernel/patch-module.ts';
import { refusalByName } from '../kernel/refused-names.ts';
import { chooseWay, type WantedWay } from '../link/choose-way.ts';
import { hasLivepatch } from '../link/link-for-livepatch.ts';
import { enteredFunctions, type TracedFunction } from '../link/link-whole-kernel.ts';
import { type ReasonCode, reasonCodes } from '../reason.ts';
import type { Addition } from './command.ts';
import { columns } from './output.ts';
import { allFunctions, countCodes, isGone, type JudgedFunction } from './prove-functions.ts';
import { ProvingThreads } from './prove-together.ts';
import { wayOption } from './way-option.ts';
import { withCommas } from './with-commas.ts';

/** A function, or a call site that belongs to none; `code` is `proven`, or why it cannot be redirected. */
interface Audited {
  readonly name: string;
  readonly address: LinkAddress;
  readonly code: 'proven' | ReasonCode;
  readonly message: string;
}

interface Audit {
  readonly functions: readonly Audited[];
  /** Of each call site, in the terms of ftrace: whether the redirect there is proven, whatever its name says. */
  readonly sites: readonly Audited[];
}

interface AuditOptions {
  readonly list?: Audited['code'];
  readonly way: WantedWay;
}

export const auditCommand: Addition = (program, act) => {
  program
    .command('audit')
    .description('count the functions of a kernel that can be redirected, and say why the others cannot')
    .argument('<kernel>', 'its name (see `suture kernel list`)')
    .addOption(wayOption('how functions are to be redirected'))
    .option('--list <code>', 'the functions with this code instead: `proven`, or one that the counts show', knownCode)
    .action(
      act(async (context, name: string, { list, way: wanted }: AuditOptions) => {
        context.kernel = name;
        context.progress(`reading ${name}`);
        const threads = new ProvingThreads(name, wanted);
        try {
          const kernel = await loadKernel(name);
          const way = chooseWay(kernel, wanted);
          const { functions, sites } = await audit(kernel, way, threads, (done) =>
            context.progress(`proving: ${done} functions`),
          );
          const listed = sites.filter(({ address }) => !isGone(kernel, address));
          const result = {
            way,
            functions: functions.length,
            codes: countCodes(functions),
            callSites: { all: sites.length, listed: listed.length, codes: countCodes(sites) },
            listedByFtrace: countCodes(listed),
          };
          if (list === undefined) return { result, text: describe(name, result) };
          const chosen = [...functions, ...sites.filter(isNameless)].filter(({ code }) => code === list);
          return {
            result: { ...result, list: chosen },
            text: columns(chosen.map((each) => [`0x${each.address.toString(16)}`, each.name, each.message])),
          };
        } finally {
          await threads.stop();
        }
      }),
    );
};

function knownCode(value: string): Audited['code'] {
  if (value === 'proven' || value in reasonCodes) return value as Audited['code'];
  throw new InvalidArgumentError('It must be `proven` or the code of a reason.');
}

const namelessBody = 'nameless-body';
const isNameless = ({ code }: Audited): boolean => code === namelessBody;

/** All functions of a kernel's text, each address once, and all call sites, both in the order of addresses. */
async function audit(
  kernel: Kernel,
  way: Way,
  threads: ProvingThreads,
  progress: (done: number) => void,
): Promise<Audit> {
  const traced = allFunctions(kernel, way);
  const judged = hasLivepatch(kernel.image)
    ? traced.map((each) => unproven(kernel, each))
    : await threads.prove(kernel, traced, way, progress);
  const byAddress = new Map(
    judged.map(({ name, address, code, reasons }): [LinkAddress, Audited] => [
      address,
      { name, address, code, message: reasons.map(({ message }) => message).join('; ') },
    ]),
  );
  // What ftrace can do about its sites is no matter of the entry way.
  const sites = way === 'entry' ? [] : kernel.callSites;
  const bySite = new Map(traced.map(({ site, address }) => [site, byAddress.get(address)!]));
  return {
    functions: enteredFunctions(kernel).map(({ name, address }) => {
      const refusal = refusalByName(name)?.reasons[0];
      const found = byAddress.get(address);
      if (found?.code === 'proven' && refusal) return { ...found, code: refusal.code, message: refusal.message };
      return found ?? { name, address, ...withoutSite(kernel, address) };
    }),
    sites: sites.map(({ name, address }) => {
      const found = bySite.get(address);
      if (found) return { ...found, address };
      const gone = isGone(kernel, address);
      return { name, address, code: gone ? 'init-text' : namelessBody, message: 'behind the function of this name' };
    }),
  };
}

/** A function of a kernel that redirects by itself. */
const unproven = (kernel: Kernel, each: TracedFunction): Judged => ({
  ...each,
  code: isGone(kernel, each.address) ? 'init-text' : 'own-livepatch',
  reasons: [],
});

type Judged = Pick<JudgedFunction, 'name' | 'address' | 'code' | 'reasons'>;

function withoutSite(kernel: Kernel, address: LinkAddress): Pick<Audited, 'code' | 'message'> {
  return isGone(kernel, address)
    ? { code: 'init-text', message: 'it is initialisation code' }
    : { code: 'no-call-site', message: 'it is notrace, assembly, or compiled without -pg' };
}

type Counts = ReturnType<typeof countCodes>;

function describe(
  name: string,
  result: {
    way: Way;
    functions: number;
    codes: Counts;
    callSites: { all: number; listed: number };
    listedByFtrace: Counts;
  },
): string {
  const { all, listed } = result.callSites;
  const head = [`${name}: ${withCommas(result.functions)} functions`, table(result.codes, result.way)];
  if (result.way === 'entry') return head.join('\n');
  return [
    ...head,
    `${withCommas(all)} call sites, of which ftrace lists ${withCommas(listed)} (available_filter_functions)`,
    table(result.listedByFtrace, result.way),
  ].join('\n');
}

const table = (counts: Counts, way: Way): string =>
  columns(
    [...counts].map(([code, count]) => [
      `  ${withCommas(count).padStart(7)}`,
      code,
      code === 'proven' ? `it can be redirected (way: ${way}), and that is proven` : reasonCodes[code][1],
    ]),
  );
