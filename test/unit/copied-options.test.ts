import { expect, it } from 'vitest';
import { linkEnvironmentFor } from '../../src/plan/attachment/link-env.ts';
import { optionsOfCopy, withFlagsRenamed, withHooksRenamed, withLinksRenamed } from '../../src/plan/copied-options.ts';
import { WRITTEN } from '../../src/plan/ini-edit.ts';

it.each([
  ['hostname = shop\ndns = 192.0.2.53\n', 'dns = 192.0.2.53\n', ['hostname shop']],
  ['aliases = www, shop ; names\nlink[] = db:database\n', 'link[] = db:database\n', ['aliases www', 'aliases shop']],
  ['address = 10.0.0.7\nmtu = 1400\n', 'mtu = 1400\n', ['address 10.0.0.7']],
  ['[net.1]\naddress = 10.1.0.7\nmtu = 1400\n', '[net.1]\nmtu = 1400\n', ['address 10.1.0.7']],
  ['publish = 8080:80, 90 8081-8089:81\n', 'publish = 90, 8081-8089:81\n', ['publish 8080:80']],
  [
    'publish[] = 8080-8081:80-81\npublish[] = 127.0.0.1::80\n',
    'publish[] = 127.0.0.1::80\n',
    ['publish 8080-8081:80-81'],
  ],
])('a copy of %j is %j', (text, copy, leftOut) => {
  expect(optionsOfCopy(text)).toEqual({ text: `${WRITTEN}\n${copy}`, leftOut });
  expect(optionsOfCopy(`${WRITTEN}\n${text}`)).toEqual({ text: `${WRITTEN}\n${copy}`, leftOut });
});

it.each([
  '; mine\naddress = auto # not fixed\nextra-host[] = a:192.0.2.1\n\npublish =\n',
  'address = dhcp\npublish = 80-82, nonsense\n',
])('a copy of %j says the same', (text) => {
  expect(optionsOfCopy(text)).toEqual({ text: `${WRITTEN}\n${text}`, leftOut: [] });
});

it('a copy of what only one can have says nothing', () => {
  expect(optionsOfCopy(`${WRITTEN}\nhostname = shop\n`)).toEqual({ text: null, leftOut: ['hostname shop'] });
});

it.each([
  ['link[] = db:database\n', 'link[] = db2:database\n'],
  ['link = web:w, db ; both\n', 'link = web:w, db2:db ; both\n'],
  ['link[] = db1:db\nlink[]=  db.1:x\n; link = db\ndns-search = db\n', null],
])('links to db in %j lead to db2', (text, after) => {
  expect(withLinksRenamed(text, 'db', 'db2')).toBe(after ?? text);
});

const HOOK = 'lxc.hook.start-host = /usr/lib/nethooks/lxc/start-host';
it.each([
  [`${HOOK} --link db:database --dns 1.1.1.1\n`, `${HOOK} --link db2:database --dns 1.1.1.1\n`],
  [` ${HOOK} --link=db --link 'db:x' --link=other:db\n`, ` ${HOOK} --link=db2:db --link 'db2:x' --link=other:db\n`],
  [`# ${HOOK} --link db\nlxc.hook.start-host = /root/other --link db\n${HOOK} --link db1 --alias db\n`, null],
])('hook lines that link to db in %j lead to db2', (text, after) => {
  expect(withHooksRenamed(text, 'db', 'db2')).toBe(after ?? text);
});

it('so do the words of a hook line that a container runs with', () => {
  expect(withFlagsRenamed(['--link', 'db', '--link=db:x', '--alias', 'db'], 'db', 'db2')).toEqual([
    '--link',
    'db2:db',
    '--link=db2:x',
    '--alias',
    'db',
  ]);
});

it('the environment of links names the copy', () => {
  const text = `# Written by nethooks: what the links of web are called in its environment.
lxc.environment = DB_NAME=/web/db
lxc.environment = DB_ENV_PATH_NAME=/other/db
lxc.environment = DB_ENV_ROOT=/web/db
`;
  expect(linkEnvironmentFor(text, 'web', 'copy')).toBe(
    text.replace('of web are', 'of copy are').replace('DB_NAME=/web/', 'DB_NAME=/copy/'),
  );
});
