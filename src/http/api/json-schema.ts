import { z } from 'zod'

export type JsonSchema = Record<string, unknown>

/** A schema as OpenAPI 3.1 and AsyncAPI 3.0 read it: without the name of its dialect, which is theirs already. */
export const jsonSchema = (schema: z.ZodType, io: 'input' | 'output'): JsonSchema => {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any', override: simplify })
  return rest
}

/** The pattern of a time is half a page, and says no more than its format. */
const simplify = ({ jsonSchema: made }: { jsonSchema: JsonSchema }): void => {
  if (made.format === 'date-time') delete made.pattern
}
