import { execFileSync } from 'node:child_process';

/** What dist/ is made from; the same list as in install.sh. */
const SOURCES = ['src', 'templates', 'build.mjs', 'package.json'];
const PRODUCTS = ['dist/nethooks', 'dist/nethooks.cjs'];

/**
 * Vitest's globalSetup for the tests that run dist/: builds it if it is missing or older than any of its sources. Locked, as
 * several test runs may start at once in one checkout.
 */
export default function build(): void {
  execFileSync('flock', ['build.mjs', 'sh', '-c', BUILD_IF_STALE, 'build', ...PRODUCTS], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, SOURCES: SOURCES.join(' '), NODE: process.execPath },
  });
}

const BUILD_IF_STALE = `
for product; do
  if [ ! -f "$product" ] || [ -n "$(find $SOURCES -newer "$product" -print -quit)" ]; then exec "$NODE" build.mjs; fi
done
`;
