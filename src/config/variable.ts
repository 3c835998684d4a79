import { z } from 'zod'

/** One environment variable: its rule, its default and what it means, in one place. */
export interface ConfigVariable {
  readonly name: string
  /** Text of the default as the sample file shows it; null: none. */
  readonly default: string | null
  readonly description: string
  /** Never shown; also read from the file that NAME_FILE names. */
  readonly secret?: true
  /** The rule of a value that is given, in words. */
  readonly constraint: string
  readonly schema: z.ZodType<unknown, string>
}

export const integerString = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/)
    .transform(Number)
    .refine((value) => value >= min && value <= max)

export const nonEmptyString = z.string().min(1)

/** Exchange, queue and binding names are AMQP short strings. */
export const amqpShortString = z
  .string()
  .min(1)
  .refine((value) => Buffer.byteLength(value) <= 240 && !/\p{Cc}/u.test(value))

export const integerVariable = (
  name: string,
  defaultValue: string | null,
  min: number,
  max: number,
  meaning: string,
): ConfigVariable => ({
  name,
  default: defaultValue,
  description: meaning,
  constraint: `a whole number from ${min} to ${max}`,
  schema: integerString(min, max),
})

export const amqpNameVariable = (variable: string, defaultValue: string, meaning: string): ConfigVariable => ({
  name: variable,
  default: defaultValue,
  description: meaning,
  constraint: '1 to 240 bytes of text without control characters',
  schema: amqpShortString,
})

export const pemFileVariable = (variable: string, meaning: string): ConfigVariable => ({
  name: variable,
  default: null,
  description: meaning,
  constraint: 'the path of a file in PEM',
  schema: nonEmptyString,
})

export const isDecodable = (part: string): boolean => {
  try {
    decodeURIComponent(part)
    return true
  } catch {
    return false
  }
}

export const urlSchema = (...protocols: string[]) =>
  z.string().refine((value) => {
    if (!URL.canParse(value)) return false
    const { protocol, hostname, username, password, pathname } = new URL(value)
    return protocols.includes(protocol) && hostname !== '' && [username, password, pathname].every(isDecodable)
  })
