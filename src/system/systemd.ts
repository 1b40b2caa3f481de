/** systemd's units, by systemctl(1). */
import { existsSync } from 'node:fs';
import type { UnitStep } from '../model/step.ts';
import { type Exec, must } from './exec.ts';

/** Whether systemd is this host's init, sd_booted(3). */
export const systemdRuns = (): boolean => existsSync('/run/systemd/system');

/** What `systemctl is-enabled` says, such as `enabled`, `disabled` or `masked`; `not-found` when there is no such unit. */
export function enablement(exec: Exec, unit: string): string {
  return exec('systemctl', ['is-enabled', unit]).stdout.trim() || 'not-found';
}

export function isActive(exec: Exec, unit: string): boolean {
  return exec('systemctl', ['--quiet', 'is-active', unit]).code === 0;
}

/** Whether unit files have changed since systemd read them. */
export function needsReload(exec: Exec, unit: string): boolean {
  return exec('systemctl', ['show', '--property', 'NeedDaemonReload', '--value', unit]).stdout.trim() === 'yes';
}

/** @throws NethooksError in systemctl's words */
export function applyUnits(exec: Exec, { action, units }: UnitStep): void {
  switch (action) {
    case 'reload':
      must(exec, 'systemctl', ['daemon-reload']);
      break;
    case 'enable':
    case 'start':
      must(exec, 'systemctl', ['--quiet', action, ...units]);
      break;
    case 'disable':
      must(exec, 'systemctl', ['--quiet', 'disable', '--now', ...units]);
      break;
    case 'forget':
      must(exec, 'systemctl', ['daemon-reload']);
      exec('systemctl', ['reset-failed', ...units]); // fails when none of them has failed
  }
}
