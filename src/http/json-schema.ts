import { z } from 'zod';

type Override = NonNullable<NonNullable<Parameters<typeof z.toJSONSchema>[1]>['override']>;

/** What JSON Schema has no word for: dates leave as text, "undefined" is an empty answer. */
export const describeRest: Override = ({ zodSchema, jsonSchema }) => {
  const { def } = zodSchema._zod;
  const { type } = def;
  if (type === 'date') Object.assign(jsonSchema, { type: 'string', format: 'date-time' });
  if (type === 'undefined') jsonSchema.type = 'null';
  // Zod leaves the default out where what comes in is transformed, as the numbers of a query are.
  if (def.type === 'default' && jsonSchema.default === undefined) {
    const { defaultValue } = def as z.core.$ZodDefaultDef;
    if (typeof defaultValue === 'number') jsonSchema.default = defaultValue;
  }
  // Zod's pattern for dates would fill the document.
  if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
};

/** JSON Schema of what a zod schema lets out. */
export function outputJsonSchema(schema: z.ZodType) {
  return z.toJSONSchema(schema, {
    io: 'output',
    target: 'draft-7',
    unrepresentable: 'any',
    override: describeRest,
  });
}
