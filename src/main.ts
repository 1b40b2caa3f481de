/**
 * The one executable. The first word decides what is loaded: `hook EVENT …` and a CNI runtime's call take the short way,
 * everything else the command line with its parser.
 */
import { rmSync } from 'node:fs';
import { NethooksError } from './errors.ts';
import { SLOTS } from './model/paths.ts';

/** Where we were called from, for paths in arguments. */
const callerDirectory = (() => {
  try {
    return process.cwd();
  } catch {
    return '/'; // it has been removed
  }
})();

// A hook inherits the working directory and the umask of whoever started the container: both are treated as hostile. Libraries
// look for configuration of their own in the working directory, and dnsmasq must be able to read what we write.
process.chdir('/');
process.umask(0o022);

// `nethooks status | head`: the reader has seen enough. (A listener on process.stdout would load all of node's streams, 10 ms.)
process.on('uncaughtException', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') console.error(error);
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

// Our shim has waited for a turn (hooks/lxc/guard): the next one may have it.
const slot = process.env.NETHOOKS_SLOT;
if (slot?.startsWith(`${SLOTS}/`)) process.on('exit', () => rmSync(slot, { force: true }));

async function main(words: string[]): Promise<number> {
  if (words[0] === 'hook') {
    const { runHook } = await import('./frontend/hooks/run.ts');
    return runHook(words[1] ?? '', words.slice(2));
  }
  // A runtime starts a plugin without arguments and says what it wants in the environment.
  if (words[0] === 'cni' || (words.length === 0 && process.env.CNI_COMMAND)) {
    const { runCni } = await import('./frontend/cni/main.ts');
    return runCni(words.slice(1));
  }
  // Runs at boot and after every change; so it needs no parser.
  if (words[0] === 'up' && (words.length === 1 || (words.length === 2 && words[1] === '--last-good'))) {
    const { up } = await import('./frontend/cli/up.ts');
    const { recorded } = await import('./frontend/recorded.ts');
    return recorded({ name: 'up', about: '', words, directory: callerDirectory, worth: 'changes' }, () =>
      up({ lastGood: words.length === 2 }),
    );
  }
  const { runCommand } = await import('./frontend/cli/program.ts');
  return runCommand(words, callerDirectory);
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(`nethooks: ${inWords(error)}`);
    process.exitCode = error instanceof NethooksError ? error.exitCode : 1;
  },
);

/** What the system refused is said in its own words; anything else is a mistake of ours, and its stack says where. */
function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const expected = error instanceof NethooksError || 'syscall' in error;
  return expected ? error.message : `internal error: ${error.stack}`;
}
