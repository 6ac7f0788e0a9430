import { own } from '../../../lib/own.js';
import { BUILT_IN_VARIABLES } from '../../../lib/templates.js';
import type { Report } from './report.js';

/** What stands for an egg's `{{…}}` here: one of our variables, or a text that is always the same. */
type Counterpart = { name: string } | { text: string };

export interface Placeholders {
  /**
   * A text of ours, with `{{NAME}}`. Null, and a warning, when something in it has no counterpart:
   * half of an address in a file of the game would be worse than the value that is there.
   */
  translate(text: string, place: string): string | null;
  /** A shell's script, with `${NAME}`. What has no counterpart stays a variable, which is empty then. */
  translateScript(text: string, place: string): string;
}

/** Listens on every address of its container, as the agent publishes its ports. */
const ANY_ADDRESS = '0.0.0.0';

/** What eggs rely on besides their own variables; the images' own entrypoint sets the last. */
export const EGG_ENVIRONMENT: Readonly<Record<string, Counterpart>> = {
  SERVER_MEMORY: { name: 'MEMORY_MB' },
  SERVER_PORT: { name: 'PORT' },
  SERVER_IP: { text: ANY_ADDRESS },
  P_SERVER_UUID: { name: 'SERVER_UUID' },
  TZ: { text: 'UTC' },
};
const SET_BY_IMAGES = new Set(['INTERNAL_IP', 'HOME', 'PATH', 'USER', 'PWD']);

const SERVER_FACTS: Readonly<Record<string, Counterpart>> = {
  'server.build.default.port': { name: 'PORT' },
  'server.build.default.ip': { text: ANY_ADDRESS },
  'server.allocations.default.port': { name: 'PORT' },
  'server.allocations.default.ip': { text: ANY_ADDRESS },
  'server.build.memory': { name: 'MEMORY_MB' },
  'server.build.memory_limit': { name: 'MEMORY_MB' },
  'server.uuid': { name: 'SERVER_UUID' },
};
const VARIABLE_PREFIX = /^(?:server\.build\.env|server\.environment|server\.env|env)\./;
const BRACES = /\{\{([^{}]*)\}\}/g;

/** @param declared Names of the variables that the template has. */
export function createPlaceholders(declared: ReadonlySet<string>, report: Report): Placeholders {
  function find(inside: string): Counterpart | null {
    const fact = own(SERVER_FACTS, inside);
    if (fact) return fact;
    const name = inside.replace(VARIABLE_PREFIX, '').toUpperCase();
    if (declared.has(name)) return { name };
    const ofEggs = own(EGG_ENVIRONMENT, name);
    if (ofEggs) return ofEggs;
    return BUILT_IN_VARIABLES.some((builtIn) => builtIn === name) ? { name } : null;
  }

  function scriptVariable(inside: string, place: string): string {
    const bare = inside.replace(VARIABLE_PREFIX, '').toUpperCase();
    // All of these are environment variables of the server.
    if (declared.has(bare) || own(EGG_ENVIRONMENT, bare) || SET_BY_IMAGES.has(bare)) return `\${${bare}}`;
    const counterpart = find(inside);
    if (counterpart) return 'name' in counterpart ? `\${${counterpart.name}}` : counterpart.text;
    report.warn(place, `nothing sets {{${inside}}}: it is empty here`);
    return /^[A-Z_][A-Z0-9_]*$/.test(bare) ? `\${${bare}}` : '';
  }

  return {
    translate(text, place) {
      const unknown: string[] = [];
      const translated = text.replace(BRACES, (whole, inside: string) => {
        const counterpart = find(inside.trim());
        if (!counterpart) {
          unknown.push(whole);
          return whole;
        }
        return 'name' in counterpart ? `{{${counterpart.name}}}` : counterpart.text;
      });
      if (unknown.length === 0) return translated;
      report.warn(place, `left out, because ${unknown.join(', ')} has no counterpart here`);
      return null;
    },
    translateScript(text, place) {
      return text.replace(BRACES, (_whole, inside: string) => scriptVariable(inside.trim(), place));
    },
  };
}
