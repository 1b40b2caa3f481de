// Templates are imported as text and end up inside both builds.
declare module '*.mustache' {
  const text: string;
  export default text;
}

/** The version in package.json, put in by build.mjs. */
declare const NETHOOKS_VERSION: string;
