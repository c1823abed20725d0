// All commands. Each file adds its own; their order here is the order of the help.

import type { Addition } from './command.ts';
import { kernelCommands } from './kernel.ts';

export const commands: readonly Addition[] = [kernelCommands];
