import { type Check, warning } from './check.ts';

export const leftovers: Check = {
  id: 'leftovers',
  title: 'what is left of containers that are gone',
  why: 'addresses, names and host ports that nobody uses are not given to others',
  find: (facts) => facts.leftovers.map((text) => ({ ...warning(text, 'nethooks gc'), fix: { kind: 'gc' as const } })),
};
