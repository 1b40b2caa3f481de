// Bundles src/main.ts twice from the same source (docs/architecture.md, "Two builds"):
//   dist/nethooks      one executable, compiled by Bun with bytecode; needs nothing at run time
//   dist/nethooks.cjs  for node >= 18.19, where the executable does not run (other CPUs) or is too big
// `node build.mjs [bun|node]` builds one of them, without an argument both.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

const bun = 'node_modules/bun/bin/bun.exe'; // npm 11 does not run bun's postinstall, so .bin/bun may not exist
const baseline = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun'; // runs on x64 CPUs without AVX2
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const common = [
  'build',
  'src/main.ts',
  '--minify',
  '--external=typescript', // cosmiconfig requires it lazily, for TypeScript configs that we never load
  `--define=NETHOOKS_VERSION="${version}"`,
];

function build(args) {
  const done = spawnSync(bun, [...common, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  if (done.status !== 0) {
    console.error(`build: bun exited with ${done.status ?? done.error?.message}`);
    process.exit(1);
  }
}

const wanted = process.argv[2];
mkdirSync('dist', { recursive: true });
if (wanted !== 'node') {
  build([
    '--compile',
    '--bytecode',
    // In few pieces (docs/architecture.md, "What a start costs"): in one, a hook starts 3 ms later; in twenty-six, 1 ms.
    '--format=esm',
    '--splitting',
    // Without these two a .env or bunfig.toml in the working directory of a hook would run code as root.
    '--no-compile-autoload-dotenv',
    '--no-compile-autoload-bunfig',
    ...(process.arch === 'x64' && existsSync(baseline) ? [`--compile-executable-path=${baseline}`] : []),
    '--outfile=dist/nethooks.new',
  ]);
  renameSync('dist/nethooks.new', 'dist/nethooks'); // a running copy keeps its inode
}
if (wanted !== 'bun') {
  build(['--target=node', '--format=cjs', '--outfile=dist/nethooks.cjs.new']);
  const code = readFileSync('dist/nethooks.cjs.new', 'utf8');
  writeFileSync('dist/nethooks.cjs.new', `#!/usr/bin/env node\n${code.replace(/^#!.*\n/, '')}`);
  chmodSync('dist/nethooks.cjs.new', 0o755);
  renameSync('dist/nethooks.cjs.new', 'dist/nethooks.cjs');
}
