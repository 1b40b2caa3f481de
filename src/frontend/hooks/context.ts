import type { Applying } from '../../system/apply.ts';

/** What a hook works with. */
export interface HookContext extends Applying {
  words: string[];
  env: NodeJS.ProcessEnv;
}
