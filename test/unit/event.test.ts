import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inLines } from '../../src/frontend/cli/logs.ts';
import { type EventRecord, MAX_LINE, parseEvent, parseEvents, renderEvent } from '../../src/model/event.ts';
import { appendLog, formerLogs } from '../../src/system/log.ts';
import { LogFollower, readEvents } from '../../src/system/log-reader.ts';

const RECORD: EventRecord = {
  id: 'mwqwr28b-jp',
  at: '2026-11-21T21:16:15.755Z',
  event: 'start-host',
  about: 'web',
  input: { words: ['--publish', '80:80'], env: { LXC_NAME: 'web' } },
  changed: ['address 10.0.0.3', 'inside: ip link set dev eth0 up'],
  undone: [],
  said: ['the name www.lxc is held by container other'],
  ms: 23,
  error: null,
};
const HOSTILE = '\u001b[2Jx\n{"id":"forged","at":"2026","event":"up"}\r\u009b31m\u2028\u202e"\\';

describe('a line of the log', () => {
  it('is read as it was written', () => {
    expect(parseEvent(renderEvent(RECORD).trimEnd())).toEqual(RECORD);
  });

  it('is one line without a control character, whatever names are in it, and says them all the same', () => {
    const hostile = {
      ...RECORD,
      about: HOSTILE,
      said: [HOSTILE],
      error: HOSTILE,
      input: { words: [HOSTILE], env: { [HOSTILE]: HOSTILE } },
    };
    const line = renderEvent(hostile);
    expect(line.slice(0, -1)).toMatch(/^[\x20-\x7e]*$/);
    expect(parseEvents(line)).toEqual([hostile]);
    for (const shown of inLines(hostile)) expect(shown).not.toMatch(/[\p{Cc}\u202e]/u);
  });

  it.each([
    ['long lists', { changed: Array(5000).fill('nft add element published { tcp . 8080 : 10.0.0.3 . 80 }') }],
    ['a long error', { error: 'x'.repeat(100_000) }],
    [
      'controls only, each six bytes',
      { about: '\u0001'.repeat(5000), error: '\u0001'.repeat(5000), undone: Array(50).fill('\u0001'.repeat(500)) },
    ],
    ['characters of four bytes', { said: Array(500).fill('😀'.repeat(100)) }],
    ['half of a character of two', { error: `${'x'.repeat(29)}😀`.repeat(900) }],
    ['a large input', { input: { words: Array(3000).fill('word'), env: { LXC_NAME: '\u0001'.repeat(9000) } } }],
    [
      'everything',
      {
        event: 'e'.repeat(9999),
        about: 'a'.repeat(9999),
        said: Array(99).fill('\u0001'.repeat(999)),
        error: '\u0001'.repeat(9999),
        input: { words: Array(99).fill('\u0001'.repeat(99)), env: { A: '\u0001'.repeat(999) } },
      },
    ],
  ])('is short enough for one write: %s', (_what, part: Partial<EventRecord>) => {
    const line = renderEvent({ ...RECORD, ...part });
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(MAX_LINE);
    expect(parseEvents(line)).toMatchObject([{ id: RECORD.id, ms: 23 }]);
  });

  it('says so where it holds less than all of the input: that cannot be replayed', () => {
    const cut = parseEvent(renderEvent({ ...RECORD, input: { words: ['a', 'b'.repeat(5000)], env: {} } }));
    expect(cut?.input).toEqual({ words: ['a'], env: {}, cut: true });
    // Lists give way first.
    const long = parseEvent(renderEvent({ ...RECORD, changed: Array(999).fill('x'.repeat(200)) }));
    expect(long?.input).toEqual(RECORD.input);
  });

  it.each([
    [
      'of a shim',
      '2026-11-21T21:16:15Z start-host web: ended, as it did nothing for 60 s',
      { event: 'start-host', about: 'web', error: 'ended, as it did nothing for 60 s' },
    ],
    [
      'of an earlier version',
      '2026-11-21T21:16:15.123Z if-up eth0: uplink eth1 is not there',
      { event: 'if-up', about: 'eth0', said: ['uplink eth1 is not there'], error: null },
    ],
    [
      'of a CNI call',
      '2026-11-21T21:16:15.123Z cni ADD net c1 eth0: no: way',
      { event: 'cni ADD', about: 'net c1 eth0', said: ['no: way'] },
    ],
    [
      'behind one that a full disk has cut off',
      `{"id":"mwq","at":"2026-11${renderEvent(RECORD).trimEnd()}`,
      { id: RECORD.id },
    ],
  ])('is understood: one %s', (_what, line, expected) => {
    expect(parseEvent(line)).toMatchObject(expected);
  });

  it.each(['', 'rubbish', '{"id":"x"', '{"id":"x"}', '{"id":"x","at":1,"event":2}'])('%s is none', (line) => {
    expect(parseEvent(line)).toBeNull();
  });

  it('is shown in one line, with what was said behind it', () => {
    expect(inLines(RECORD)).toEqual([
      '2026-11-21T21:16:15Z  mwqwr28b-jp    start-host web: 2 changes, 23 ms',
      '    the name www.lxc is held by container other',
    ]);
    expect(inLines({ ...RECORD, said: [], changed: [], error: 'no\nnot at all' })).toEqual([
      '2026-11-21T21:16:15Z  mwqwr28b-jp    start-host web: failed, 23 ms: no',
      '    not at all',
    ]);
  });
});

describe('the log', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'nethooks-log-'));
    path = join(directory, 'log/hooks.log');
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const append = (number: number, most: number) => appendLog(renderEvent({ ...RECORD, id: `n${number}` }), path, most);
  const ids = () => readEvents(path).map(({ id }) => id);
  const numbers = (from: number, count: number) => [...Array(count).keys()].map((index) => `n${from + index}`);

  it('gets another name when it is full; what is kept behind it is as much again, and the oldest goes', () => {
    const one = Buffer.byteLength(renderEvent({ ...RECORD, id: 'n00' }));
    for (let number = 10; number < 60; number++) append(number, one * 10);
    const kept = ids();
    expect(kept.length).toBeGreaterThanOrEqual(10);
    expect(kept.length).toBeLessThanOrEqual(30);
    expect(kept).toEqual(numbers(60 - kept.length, kept.length));
    expect(statSync(formerLogs(path)[0] as string).mode & 0o777).toBe(0o640);
  });

  it('cannot be written: nothing fails', () => {
    mkdirSync(path, { recursive: true });
    append(1, 1000);
    writeFileSync(join(directory, 'file'), '');
    appendLog('x\n', join(directory, 'file/hooks.log'));
    appendLog('x\n', '/dev/full');
    expect(readFileSync(join(directory, 'file'), 'utf8')).toBe('');
  });

  it('is followed across its change of names', () => {
    append(1, 1e6);
    const follower = new LogFollower(path);
    const next = () => follower.next().map(({ id }) => id);
    expect(next()).toEqual([]);
    append(2, 1e6);
    expect(next()).toEqual(['n2']);
    append(3, 1); // full: another name
    append(4, 1e6);
    expect(next()).toEqual(['n3', 'n4']);
    const [former = ''] = formerLogs(path);
    writeFileSync(former, renderEvent({ ...RECORD, id: 'late' }), { flag: 'a' });
    writeFileSync(path, '{"id":"n5","at":"2026",', { flag: 'a' });
    expect(next()).toEqual(['late']);
    writeFileSync(path, '"event":"up"}\n', { flag: 'a' });
    expect(next()).toEqual(['n5']);
  });
});
