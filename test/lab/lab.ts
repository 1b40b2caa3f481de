/** What tests on a throwaway host use, in one place. */
export { type Capture, capture } from './capture.ts';
export { describeLab, describeLabUnless } from './describe.ts';
export { eventually } from './eventually.ts';
export { labHost, must, sh, writeFile } from './host.ts';
export { containerPid, createContainer, createContainers, DEBIAN_CONTAINER, inContainer, STILL } from './lxc.ts';
export { assertNothingLeft, expectGone, isOnOverlay, machineState } from './machine.ts';
export {
  BR0,
  commandsOn,
  hookLog,
  type InstallOptions,
  installedHost,
  installNethooks,
  writeConfig,
} from './nethooks.ts';
export { normalise, snapshot, steady, TOUCHED_FILES } from './snapshot.ts';
