// The example fixes, each with the function that it replaces and the check that tells whether it is applied.

import { fileURLToPath } from 'node:url';

const file = (name: string) => fileURLToPath(new URL(`../examples/${name}`, import.meta.url));

const example = (name: string, replaces: string) => ({
  name,
  replaces,
  fix: file(`${name}.c`),
  check: file(`${name}.sh`),
});

export const examples = [
  example('cmdline', 'cmdline_proc_show'),
  example('stack-arguments', 'ip_append_data'),
  example('leaf', 'get_avenrun'),
  example('pointer', 'version_proc_show'),
  example('local-call', 'show_vma_header_prefix'),
];
