// Loaded into a process that is measured (`measure.ts`): writes down at its end what it has used.

import { writeFileSync } from 'node:fs';

process.on('exit', () => {
  const file = process.env.SUTURE_BENCH_USAGE;
  if (file === undefined) return;
  const { user, system } = process.cpuUsage();
  // ru_maxrss is in kilobytes.
  const peak = process.resourceUsage().maxRSS / 1024;
  writeFileSync(file, JSON.stringify({ cpu: (user + system) / 1000, peak }));
});
