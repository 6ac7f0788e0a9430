import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EVIL_ARCHIVES } from '../helpers/evil-archives.js';
import { describeOutside } from '../helpers/path-tricks.js';
import { children, countDescriptors, describe, openArchives } from './archives-harness.js';

test.each(EVIL_ARCHIVES)(
  'refused by its content, and nothing is left: $name',
  async ({ bytes, code, says }) => {
    const { at, places, extract } = openArchives();
    writeFileSync(at('archive'), bytes());
    for (const target of ['/', '/d', '/new/place']) {
      const before = describe(places.server);
      const outside = describeOutside(places);
      const descriptors = countDescriptors();
      const refusal = await extract('/archive', target).catch((error) => error);
      expect({ code: refusal.code, message: refusal.message }).toEqual({
        code,
        message: expect.stringContaining(says),
      });
      expect(refusal.message.length).toBeLessThan(400);
      expect(describe(places.server)).toEqual(before);
      expect(describeOutside(places)).toBe(outside);
      expect(countDescriptors()).toBe(descriptors);
      expect(children()).toEqual([]);
    }
  },
);
