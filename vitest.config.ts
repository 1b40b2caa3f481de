import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

/** What `bun build` does for `with { type: 'text' }`: a template's default export is its text. */
const textImports = {
  name: 'text-imports',
  enforce: 'pre' as const,
  load: (id: string) =>
    id.endsWith('.mustache') ? `export default ${JSON.stringify(readFileSync(id, 'utf8'))}` : undefined,
};

const project = (name: string, options: object = {}) => ({
  plugins: [textImports],
  define: { NETHOOKS_VERSION: '"0.0.0-test"' },
  test: { name, include: [`test/${name}/**/*.test.ts`], ...options },
});

/** These run what dist/ holds, so it is built first when it is older than its sources. */
const lab = { globalSetup: 'test/lab/build.ts' };

export default defineConfig({
  test: {
    // Files run in two processes: much of a test is waiting, and each throwaway host is a world of its own. More would make the
    // timeouts meaningless on two cores. Vitest heeds this here only, not in a project.
    maxWorkers: 2,
    minWorkers: 1,
    projects: [
      project('unit'),
      project('integration', { ...lab, testTimeout: 60_000, hookTimeout: 120_000 }),
      project('e2e', { ...lab, testTimeout: 120_000, hookTimeout: 300_000 }),
    ],
  },
});
