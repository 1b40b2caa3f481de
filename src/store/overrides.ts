/**
 * What the command line of `lxc-start` says against a container's configuration. A container that reboots is started again by its monitor,
 * which remembers that, while the command has ended: so we remember it as long as the monitor lives.
 */
import { existsSync } from 'node:fs';
import { overridesFile } from '../model/paths.ts';
import { ensureText, readText, removeFile } from '../system/files.ts';
import { settingsOnCommandLine } from '../system/lxc-command.ts';
import { parentOf, startTime } from '../system/process.ts';

/**
 * Lines for the end of the configuration of a container that starts; empty, as a rule.
 * @param monitor LXC's process that runs the hook
 */
export function overridesAtStart(container: string, monitor: number): string {
  const text = settingsOnCommandLine(container, monitor) || overridesBy(container, monitor);
  if (text !== '') ensureText(overridesFile(container), `${monitor} ${startTime(monitor)}\n${text}`);
  else forgetOverrides(container);
  return text;
}

/** The same for a container that runs. */
export function overridesOf(container: string, init: number): string {
  const monitor = existsSync(overridesFile(container)) ? parentOf(init) : null;
  return monitor === null ? '' : overridesBy(container, monitor);
}

export function forgetOverrides(container: string): void {
  if (existsSync(overridesFile(container))) removeFile(overridesFile(container));
}

function overridesBy(container: string, monitor: number): string {
  if (!existsSync(overridesFile(container))) return '';
  const [head = '', ...lines] = (readText(overridesFile(container)) ?? '').split('\n');
  return head === `${monitor} ${startTime(monitor)}` ? lines.join('\n') : '';
}
