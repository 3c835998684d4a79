import * as z from 'zod'

/** One environment variable of the gateway. Its name is its key in CONFIG_VARIABLES. */
export interface ConfigVariable {
  /** Text of the default, as shown in .env.sample; null if there is none. */
  readonly default: string | null
  readonly description: string
  /** True if the value is never shown and can also be read from the file that NAME_FILE names. */
  readonly secret?: true
  /** Constraint on the value; completes "NAME must be …". */
  readonly constraint: string
  /** Parses a value. Throws ConfigValueError if a more specific message than the constraint is possible. */
  readonly schema: z.ZodType<unknown, string>
}

/** Type of a variable's value; includes null if the variable has no default. */
export type VariableValue<V extends ConfigVariable> =
  | z.output<V['schema']>
  | (V['default'] extends string ? never : null)

/** Creates a schema from a parser that returns null for invalid text. */
export const parsedBy = <T>(parse: (text: string) => T | null) =>
  z.string().transform((text, context): T => {
    const value = parse(text)
    if (value !== null) return value
    context.addIssue({ code: 'custom' })
    return z.NEVER
  })

export const integerString = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/)
    .transform(Number)
    .refine((value) => value >= min && value <= max)

export const integerVariable = <D extends string | null>(
  defaultValue: D,
  min: number,
  max: number,
  description: string,
) => ({
  default: defaultValue,
  description,
  constraint: `a whole number from ${min} to ${max}`,
  schema: integerString(min, max),
})

export const textVariable = <D extends string | null>(defaultValue: D, description: string, constraint = 'text') => ({
  default: defaultValue,
  description,
  constraint,
  schema: z.string().min(1),
})

export const pemFileVariable = (description: string) => textVariable(null, description, 'the path of a file in PEM')

/**
 * Names of exchanges, queues and bindings are AMQP short strings (255 bytes); a few bytes are left for the suffix
 * `.dead`.
 */
export const amqpNameVariable = (defaultValue: string, description: string) => ({
  default: defaultValue,
  description,
  constraint: '1 to 240 bytes of text without control characters',
  schema: z.string().refine((value) => Buffer.byteLength(value) <= 240 && !/\p{Cc}/u.test(value)),
})

export const choiceVariable = <const T extends string, D extends T | null>(
  defaultValue: D,
  choices: readonly T[],
  description: string,
) => ({
  default: defaultValue,
  description,
  constraint: `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`,
  schema: z.enum(choices),
})
