// `--way`, for the commands that make redirects or look at them.

import { Option } from 'commander';

/** How functions are redirected; docs/ways.md tells of both ways. */
export const wayOption = (description = 'how functions are redirected') =>
  new Option('--way <way>', `${description}; auto chooses by the kernel`)
    .choices(['ftrace', 'entry', 'auto'])
    .default('auto');
