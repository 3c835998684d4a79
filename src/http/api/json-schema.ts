import * as z from 'zod'

export type JsonSchema = Record<string, unknown>

/** Converts a schema for OpenAPI 3.1 and AsyncAPI 3.0. `$schema` is removed, since both imply the dialect. */
export const jsonSchema = (schema: z.ZodType, io: 'input' | 'output'): JsonSchema => {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any', override: simplify })
  return rest
}

/** Removes the pattern of a date-time, which is very long and adds nothing to its format. */
const simplify = ({ jsonSchema: made }: { jsonSchema: JsonSchema }): void => {
  if (made.format === 'date-time') delete made.pattern
}
