import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { linkEnvironmentOf } from '../../src/attachment/link-files.ts';
import { withIncludes } from '../../src/frontend/lxc/lxc-config.ts';
import { readInclude } from '../../src/system/lxc-include.ts';

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

it("reads a linked container's variables with its includes, quotes and CRLF, but not those of its own links", () => {
  const directory = mkdtempSync(join(tmpdir(), 'nethooks-include-'));
  try {
    mkdirSync(join(directory, 'db'));
    writeFileSync(join(directory, 'db.conf'), '\tlxc.environment="PASSWORD=two words"\r\nlxc.environment = B=1');
    writeFileSync(
      join(directory, 'db/config'),
      [
        'lxc.environment = A=1',
        'lxc.environment =',
        `lxc.include = "${directory}/db.conf"`,
        'lxc.include = /var/lib/nethooks/env/db.conf',
        '# lxc.environment = C=1',
        '',
      ].join('\r\n'),
    );
    const link = { container: 'db', alias: 'db', from: '10.0.0.2', to: '10.0.0.3', ports: [] };
    expect(linkEnvironmentOf('web', [link], join(directory, 'web/config')).split('\n').slice(1)).toEqual([
      'lxc.environment = DB_NAME=/web/db',
      'lxc.environment = DB_ENV_PASSWORD=two words',
      'lxc.environment = DB_ENV_B=1',
      '',
    ]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
