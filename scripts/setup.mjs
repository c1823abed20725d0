// What `npm start` and `npm test` (`--tests`) need, made ready before they run: the npm packages, the compiled program, and
// the system packages. Plain JavaScript without dependencies, since it runs where nothing is there yet. Quiet and quick
// when there is nothing to do.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const inRoot = (...parts) => join(root, ...parts);
const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);
const say = (text) => process.stderr.write(`suture: ${text}\n`);

function fail(text) {
  say(text);
  process.exit(1);
}

/** Runs a program; its output shows only if it fails. Returns whether it succeeded. */
function quietly(program, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    ...options,
  });
  if (status === 0) return true;
  process.stderr.write(error ? `${program}: ${error.message}\n` : `${stdout}${stderr}`);
  return false;
}

/** npm as it was called: inside a script its own path is in the environment. */
function npm(...args) {
  const own = process.env.npm_execpath;
  return own && /\.c?js$/.test(own) ? quietly(process.execPath, [own, ...args]) : quietly('npm', args);
}

function installNpmPackages() {
  if (modified(inRoot('node_modules', '.package-lock.json')) >= modified(inRoot('package-lock.json'))) return;
  say('installing npm packages');
  // The compiler is a development dependency, whatever NODE_ENV says.
  if (!npm('ci', '--include=dev', '--loglevel=error', '--no-audit', '--no-fund')) fail('`npm ci` failed');
}

/** Compiles unless every output is there and newer than every source: an interrupted compiler may have written some. */
function compile() {
  const sources = readdirSync(inRoot('src'), { recursive: true }).filter((name) => name.endsWith('.ts'));
  const settings = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/bundle.mjs'].map((name) =>
    inRoot(name),
  );
  const outputs = sources
    .filter((name) => !/\.(test|d)\.ts$/.test(name))
    .map((name) => inRoot('dist', name.replace(/\.ts$/, '.js')));
  outputs.push(inRoot('dist/program/start.js'));
  const newestSource = Math.max(...[...sources.map((name) => inRoot('src', name)), ...settings].map(modified));
  if (Math.min(...outputs.map(modified)) > newestSource) return;
  say('compiling');
  if (!npm('run', '--silent', 'build')) fail('`npm run build` failed');
}

async function installSystemPackages() {
  const { tools, testTools, findProgram } = await import(new URL('../dist/host/tools.js', import.meta.url).href);
  const wanted = process.argv.includes('--tests') ? [...tools, ...testTools] : [...tools];
  const missing = wanted.filter(([program]) => findProgram(program) === undefined);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  const command = `apt-get update; apt-get install --no-install-recommends ${packages.join(' ')}`;

  const isRoot = process.getuid?.() === 0;
  const maySudo = !isRoot && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0;
  if (!findProgram('apt-get') || !(isRoot || maySudo)) {
    fail(
      `these system packages are missing; install them with: ${isRoot ? command : command.replaceAll('apt-get', 'sudo apt-get')}`,
    );
  }

  say(`installing system packages: ${packages.join(' ')}`);
  const apt = (...args) => {
    const words = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', '-o', 'DPkg::Lock::Timeout=300', ...args];
    return maySudo ? ['sudo', ['-n', ...words]] : ['env', words.slice(1)];
  };
  // One unreachable list makes the update fail as a whole; whether that matters shows in the installation.
  spawnSync(...apt('update'), { stdio: 'ignore' });
  if (!quietly(...apt('install', '--yes', '--no-install-recommends', ...packages))) {
    fail(`the system packages could not be installed; try: ${command}`);
  }
  const still = missing.filter(([program]) => findProgram(program) === undefined).map(([program]) => program);
  if (still.length > 0) fail(`still missing after the installation: ${still.join(', ')}`);
}

installNpmPackages();
compile();
await installSystemPackages();
