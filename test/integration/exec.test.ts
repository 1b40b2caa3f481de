import { execFileSync } from 'node:child_process';
import { afterAll, describe, expect, it } from 'vitest';
import { bundle, RUNTIMES } from '../lab/driver.ts';

/** Prints what a piece of code gives that has an Exec, or the error's words. */
const SOURCE = `
import { openSync } from 'node:fs';
import { execUntil } from '#src/system/exec.ts';
const [, , code, left] = process.argv;
const run = new Function('exec', 'openSync', 'return (async () => {' + code + '})()');
run(execUntil(performance.now() + Number(left)), openSync).then(
  (result) => console.log(JSON.stringify(result ?? null)),
  (error) => console.log(JSON.stringify(error.message)),
);
`;

describe.each([
  ['node', 'node'],
  ['bun, with its own functions', 'bun'],
  ["bun, with node's functions", 'node on bun'],
] as const)('programs under %s', (_, which) => {
  const runtime = which === 'node' ? 'node' : 'bun';
  const { path, remove } = bundle(SOURCE, which === 'bun' ? 'bun' : 'node');
  afterAll(remove);

  /** @param left ms for all programs together */
  const result = (code: string, left = 10_000): unknown =>
    JSON.parse(execFileSync(RUNTIMES[runtime], [path, code, String(left)], { encoding: 'utf8', timeout: 20_000 }));

  it.each([
    [
      'to its end',
      "exec('sh', ['-c', 'echo out; echo err >&2; exit 3'])",
      { code: 3, stdout: 'out\n', stderr: 'err\n' },
    ],
    ['with input', "exec('cat', [], { input: 'x'.repeat(3) })", { code: 0, stdout: 'xxx', stderr: '' }],
    ['without input', "exec('cat', [])", { code: 0, stdout: '', stderr: '' }],
    ['that a signal ends', "exec('sh', ['-c', 'kill -9 $$'])", { code: null, stdout: '', stderr: '' }],
    [
      'with a descriptor',
      "exec('cat', ['/proc/self/fd/3'], { fd: openSync('/proc/sys/kernel/ostype', 'r') })",
      { code: 0, stdout: 'Linux\n', stderr: '' },
    ],
    [
      'in a small environment',
      "exec('sh', ['-c', 'pwd; echo $LC_ALL $HOME $OWN'], { env: { OWN: 'own' } })",
      { code: 0, stdout: '/\nC own\n', stderr: '' },
    ],
    ['that is not there', "exec('nonesuch', [])", 'nonesuch is not installed'],
    ['beside us', "exec.start('sh', ['-c', 'echo out; exit 4'])", { code: 4, stdout: 'out\n', stderr: '' }],
    ['beside us that is not there', "exec.start('nft-nonesuch', [])", 'nft-nonesuch is not installed'],
    ['beside us, without input', "exec.start('cat', [])", { code: 0, stdout: '', stderr: '' }],
    [
      'beside us, with much input',
      "exec.start('cat', [], { input: 'é'.repeat(1_000_000) }).then(({ code, stdout }) => [code, stdout === 'é'.repeat(1_000_000)])",
      [0, true],
    ],
    [
      'beside us, that ends without reading',
      "exec.start('sh', ['-c', 'exit 5'], { input: 'x' })",
      { code: 5, stdout: '', stderr: '' },
    ],
    ['prepared', "exec.prepare('cat', [])('late')", { code: 0, stdout: 'late', stderr: '' }],
    [
      'prepared, with much input and output',
      "exec.prepare('cat', [])('x'.repeat(3_000_000)).then(({ code, stdout }) => [code, stdout.length])",
      [0, 3_000_000],
    ],
    [
      'prepared, with a descriptor',
      "exec.prepare('cat', ['/proc/self/fd/3'], { fd: openSync('/proc/sys/kernel/ostype', 'r') })('')",
      { code: 0, stdout: 'Linux\n', stderr: '' },
    ],
    [
      'prepared, that ends without reading',
      "const give = exec.prepare('sh', ['-c', 'echo no >&2; exit 5']); await new Promise((r) => setTimeout(r, 200)); return give('x'.repeat(1_000_000))",
      { code: 5, stdout: '', stderr: 'no\n' },
    ],
    [
      'prepared, that a signal ends',
      "exec.prepare('sh', ['-c', 'kill -9 $$'])('')",
      { code: null, stdout: '', stderr: '' },
    ],
    ['prepared, and not used', "exec.prepare('cat', []); return 'we end'", 'we end'],
  ])('%s', (_what, code, expected) => {
    expect(result(code.includes('return') ? code : `return ${code}`)).toEqual(expected);
  });

  it.each([
    ['to its end', "exec('sleep', ['9'])"],
    ['beside us', "exec.start('sleep', ['9'])"],
    ['prepared', "exec.prepare('sleep', ['9'])('')"],
  ])('%s: not longer than there is time', (_what, code) => {
    expect(result(`return ${code}`, 300)).toBe('sleep 9: gave up, no time left');
  });
});
