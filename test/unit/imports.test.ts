/** Arrows between the folders of src/ point one way: who may import whom (docs/architecture.md, "Folders"). */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, it } from 'vitest';

/** What a folder may import, beside itself, src/errors.ts and templates/. */
const ALLOWED: Record<string, readonly string[]> = {
  model: [],
  plan: ['model'],
  drivers: ['model', 'plan'],
  system: ['model', 'plan'],
  store: ['model', 'plan', 'system'],
  config: ['model', 'plan', 'system'],
  attachment: ['model', 'plan', 'drivers', 'system', 'store'],
  host: ['model', 'plan', 'system', 'store', 'config', 'attachment'],
  demo: ['model', 'plan', 'system'],
  frontend: ['model', 'plan', 'system', 'store', 'config', 'attachment', 'host', 'demo'],
  'main.ts': ['model', 'frontend'],
};
/** Modules of node's that plans and the model may use: they compute, and ask the system nothing. */
const PURE = ['node:path', 'node:path/posix', 'node:crypto'];

const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
const folderOf = (path: string): string => path.split('/')[0] as string;
const imports = (path: string): string[] =>
  [...readFileSync(join('src', path), 'utf8').matchAll(/(?:from |import\()'([^']+)'/g)].map(
    (match) => match[1] as string,
  );

it.each(files)('%s imports from below only', (path) => {
  const folder = folderOf(path);
  const own = imports(path).filter((name) => name.startsWith('.'));
  const others = own
    .map((name) => relative('src', join('src', dirname(path), name)))
    .filter((target) => !target.startsWith('../templates/') && target !== 'errors.ts' && folderOf(target) !== folder);
  const allowed = ALLOWED[folder] ?? [];
  expect(others.filter((target) => !allowed.includes(folderOf(target)))).toEqual([]);
});

it.each(files.filter((path) => /^(model|plan|drivers)\//.test(path) && path !== 'plan/parsed.ts'))(
  '%s asks the system nothing',
  (path) => {
    const asked = imports(path).filter((name) => name.startsWith('node:') && !PURE.includes(name));
    expect(asked).toEqual([]);
  },
);

it.each(files.filter((path) => /^plan\/(host|attachment)\//.test(path)))(
  '%s plans the host or an attachment, not both',
  (path) => {
    const other = path.startsWith('plan/host/') ? '../attachment/' : '../host/';
    expect(imports(path).filter((name) => name.startsWith(other))).toEqual([]);
  },
);
