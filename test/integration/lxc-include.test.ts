import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readInclude } from '../../src/frontend/lxc/include.ts';
import { withIncludes } from '../../src/frontend/lxc/lxc-config.ts';

it('reads a file, the *.conf files of a directory, and nothing where there is nothing', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nethooks-include-'));
  try {
    mkdirSync(join(directory, 'common.conf.d/sub.conf'), { recursive: true });
    writeFileSync(join(directory, 'common.conf'), `lxc.net.0.type = veth\nlxc.include = ${directory}/common.conf.d\n`);
    writeFileSync(join(directory, 'common.conf.d/b.conf'), 'lxc.net.0.link = b');
    writeFileSync(join(directory, 'common.conf.d/a.conf'), 'lxc.net.0.link = a');
    writeFileSync(join(directory, 'common.conf.d/README'), 'lxc.net.0.link = readme');
    const [nic] = withIncludes(`lxc.include = ${directory}/common.conf\nlxc.include = ${directory}/none`, readInclude);
    expect(nic).toMatchObject({ type: 'veth', link: 'b' });
    expect(readInclude(join(directory, 'none'))).toBeNull();
    expect(readInclude(join(directory, 'none/'))).toBeNull();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
