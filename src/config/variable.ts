import { z } from 'zod'

/** One environment variable: its rule, its default and what it means, in one place. */
export interface Variable {
  readonly name: string
  /** Text of the default as the sample file shows it; null: none. */
  readonly default: string | null
  readonly meaning: string
  /** Never shown; also read from the file that NAME_FILE names. */
  readonly secret?: true
  /** The rule of a value that is given, in words. */
  readonly rule: string
  readonly schema: z.ZodType<unknown, string>
}

export const wholeNumber = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d+$/)
    .transform(Number)
    .refine((value) => value >= least && value <= most)

export const text = z.string().min(1)

/** Exchange, queue and binding names are AMQP short strings. */
export const shortName = z
  .string()
  .min(1)
  .refine((value) => Buffer.byteLength(value) <= 240 && !/\p{Cc}/u.test(value))

export const number = (name: string, usual: string | null, least: number, most: number, meaning: string): Variable => ({
  name,
  default: usual,
  meaning,
  rule: `a whole number from ${least} to ${most}`,
  schema: wholeNumber(least, most),
})

export const name = (variable: string, usual: string, meaning: string): Variable => ({
  name: variable,
  default: usual,
  meaning,
  rule: '1 to 240 bytes of text without control characters',
  schema: shortName,
})

export const file = (variable: string, meaning: string): Variable => ({
  name: variable,
  default: null,
  meaning,
  rule: 'the path of a file in PEM',
  schema: text,
})

export const isDecodable = (part: string): boolean => {
  try {
    decodeURIComponent(part)
    return true
  } catch {
    return false
  }
}

export const url = (...protocols: string[]) =>
  z.string().refine((value) => {
    if (!URL.canParse(value)) return false
    const { protocol, hostname, username, password, pathname } = new URL(value)
    return protocols.includes(protocol) && hostname !== '' && [username, password, pathname].every(isDecodable)
  })
