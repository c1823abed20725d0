// The first that runs of the program: what is to begin before the rest of it has been read.

const [command, ...rest] = process.argv.slice(2);
// Whether it comes to that the command line has yet to tell.
if (command === 'audit' || (command === 'prove' && rest.includes('--all')))
  (await import('./second-thread.ts')).startSecondThread();

await import('./main.ts');
