// All commands. Each file adds its own; their order here is the order of the help.

import { adaptCommand } from './adapt.ts';
import { auditCommand } from './audit.ts';
import { buildCommand } from './build.ts';
import type { Addition } from './command.ts';
import { coreCommand } from './core.ts';
import { corpusCommand } from './corpus.ts';
import { demoCommand } from './demo.ts';
import { diffCommand } from './diff.ts';
import { infoCommand } from './info.ts';
import { kernelCommands } from './kernel.ts';
import { proveCommand } from './prove.ts';
import { rehearseCommand } from './rehearse.ts';

export const commands: readonly Addition[] = [
  kernelCommands,
  coreCommand,
  buildCommand,
  adaptCommand,
  diffCommand,
  infoCommand,
  proveCommand,
  auditCommand,
  rehearseCommand,
  corpusCommand,
  demoCommand,
];
