/** CNI's spec versions, oldest first. */
export const VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

export type Version = (typeof VERSIONS)[number];

/** What a configuration without `cniVersion` means: libcni before the key existed. */
export const OLDEST: Version = '0.1.0';

export const isVersion = (text: unknown): text is Version => (VERSIONS as readonly unknown[]).includes(text);

export const atLeast = (version: Version, other: Version): boolean =>
  VERSIONS.indexOf(version) >= VERSIONS.indexOf(other);

/** VERSION's answer (SPEC.md, "VERSION Success"). */
export const versionReport = (version: string): string =>
  JSON.stringify({ cniVersion: isVersion(version) ? version : VERSIONS.at(-1), supportedVersions: VERSIONS });
