import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const SOURCE = fileURLToPath(new URL('../../src', import.meta.url));
/** Each costs a hook milliseconds; validation and commands load them by import(), when they are needed. */
const HEAVY = ['commander', 'cosmiconfig', 'execa', 'ini', 'ipaddr.js', 'valibot'];
/** Each costs a container that starts 0.3 ms or more. */
const NOT_FOR_CONTAINERS = ['node:net', 'node:os'];

/** What a file brings along when it is loaded: its imports and theirs, without import() and types. */
function loads(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const imports = readFileSync(file, 'utf8').matchAll(/^(?:import|export)\s(?!type\b)(?:[^;]*?\sfrom\s)?'([^']+)'/gm);
  for (const [, name = ''] of imports) {
    if (name.startsWith('.')) {
      if (name.endsWith('.ts')) loads(join(dirname(file), name), seen);
    } else seen.add(name);
  }
  return seen;
}

it.each([
  'frontend/hooks/run.ts',
  'frontend/cni/main.ts',
  ...['hooks', 'lxc'].flatMap((folder) =>
    readdirSync(join(SOURCE, 'frontend', folder))
      .map((name) => `frontend/${folder}/${name}`)
      .filter((file) => /\nexport async function run\(/.test(readFileSync(join(SOURCE, file), 'utf8'))),
  ),
])('%s loads no library that hooks cannot afford', (file) => {
  const loaded = loads(join(SOURCE, file));
  const unwanted = /\/(ifupdown|dhclient|check)\.ts$/.test(file) ? HEAVY : [...HEAVY, ...NOT_FOR_CONTAINERS];
  expect(unwanted.filter((name) => loaded.has(name))).toEqual([]);
  expect(loaded.size).toBeGreaterThan(1);
});

it.each(['frontend/lxc/start.ts', 'frontend/cni/add.ts'])('%s loads nothing that only some containers need', (file) => {
  const loaded = [...loads(join(SOURCE, file))].map((path) => path.slice(SOURCE.length + 1));
  const rare = [
    'config/read-anew',
    'store/refusals',
    'store/ports',
    'system/apply-host',
    'system/undo',
    'system/connections',
    'system/container-files',
  ];
  expect(
    ['attachment/detach', 'attachment/relink', 'model/container-keys', 'plan/host/firewall', ...rare].filter((name) =>
      loaded.includes(`${name}.ts`),
    ),
  ).toEqual([]);
});
