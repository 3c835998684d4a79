import { readFileSync } from 'node:fs'
import { loadConfig, readEnvironment } from '../config.ts'
import type { TokenConfig } from '../http/auth.ts'
import { mint, privateSigner, type SigningKey, secretSigner } from '../http/auth-mint.ts'
import { describeError } from '../message/errors.ts'
import { EventId } from '../message/message.ts'

/** The command was called wrongly: exit 2. */
export class WrongCall extends Error {}

/** The flags of a call, and where its token and its words go. */
export interface TokenCall {
  readonly text: (flag: string) => string | undefined
}
export interface TokenIo {
  readonly out: { write(text: string): unknown }
  /** A line on stderr. */
  readonly note: (line: string) => void
}

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 }
const LONGEST_SECONDS = 366 * 86_400
const SCOPES = ['publish', 'admin']

const lifetimeOf = (text: string): number => {
  const [, count, unit = 's'] = /^(\d{1,9})([smhd])?$/.exec(text) ?? []
  const seconds = Number(count) * UNITS[unit]!
  if (seconds >= 1 && seconds <= LONGEST_SECONDS) return seconds
  throw new WrongCall(`--expires takes a time such as 15m or 8h, up to 366d, not ${JSON.stringify(text)}.`)
}

const eventsOf = (text: string): string[] | '*' => {
  if (text.trim() === '*') return '*'
  const events = text.split(',').map((id) => id.trim())
  const bad = events.find((id) => !EventId.safeParse(id).success)
  if (bad !== undefined) throw new WrongCall(`--events: ${JSON.stringify(bad)} is no event id.`)
  return events
}

const scopesOf = (text: string): string[] => {
  const scopes = text.split(/[\s,]+/).filter((scope) => scope !== '')
  const bad = scopes.find((scope) => !SCOPES.includes(scope))
  if (bad !== undefined) throw new WrongCall(`--scope takes ${SCOPES.join(' and ')}, not ${JSON.stringify(bad)}.`)
  return scopes
}

const privateKeyOf = (file: string): SigningKey => {
  let pem: string
  try {
    pem = readFileSync(file, 'utf8')
  } catch (error) {
    throw new WrongCall(`--key-file cannot be read: ${describeError(error)}`)
  }
  const signer = privateSigner(pem)
  if (signer !== null) return signer
  throw new WrongCall('--key-file holds no RSA, P-256 or Ed25519 private key in PEM without a passphrase.')
}

const signerOf = (tokens: TokenConfig | null, file: string | undefined): SigningKey => {
  if (file !== undefined) return privateKeyOf(file)
  if (tokens?.keys.kind === 'secret') return secretSigner(tokens.keys.secret)
  throw new WrongCall(
    tokens === null
      ? 'There is nothing to sign with: set JWT_SECRET, or give --key-file.'
      : 'The gateway is set to a public key; the private one signs: give it by --key-file.',
  )
}

/** `token`: mints a token for trials that the gateway of this configuration accepts. */
export const token = {
  name: 'token',
  summary: 'mint a token for trials',
  usage: ['[flags]'],
  about: 'The token goes to stdout, what it says to stderr. It is signed by JWT_SECRET, or by a private key.',
  flags: {
    sub: { value: 'NAME', meaning: 'who it is for (trial)' },
    events: { value: 'LIST', meaning: 'events that it opens, comma-separated, or *; else JWT_DEFAULT_EVENTS decides' },
    scope: { value: 'LIST', meaning: 'publish, admin, or both' },
    expires: { value: 'TIME', meaning: 'how long it is good: 90s, 15m, 8h, 7d (1h)' },
    'key-file': { value: 'FILE', meaning: 'private key in PEM, for JWT_PUBLIC_KEY and JWT_JWKS_URL' },
  },
  examples: [
    ['deepsoc-gateway token --events demo --scope publish', 'Reads one event and publishes to it'],
    ['deepsoc-gateway token --sub ops --scope admin --expires 15m', 'Calls /metrics and shuts subjects out'],
  ],
  /** @returns the exit code. @throws WrongCall, GatewayError config_invalid */
  run: async ({ text }: TokenCall, io: TokenIo): Promise<number> => {
    const subject = text('sub') ?? 'trial'
    const listed = text('events')
    const events = listed === undefined ? null : eventsOf(listed)
    const scopes = scopesOf(text('scope') ?? '')
    const lifetime = lifetimeOf(text('expires') ?? '1h')
    const { tokens } = loadConfig(readEnvironment())
    const signer = signerOf(tokens, text('key-file'))
    const [issuer, audience] = [tokens?.issuer ?? null, tokens?.audience ?? null]
    const minted = await mint({ subject, events, scopes, lifetime, issuer, audience }, signer)
    const opens =
      events === null ? 'the events of JWT_DEFAULT_EVENTS' : events === '*' ? 'all events' : events.join(', ')
    const may = scopes.length === 0 ? '' : `, scope ${scopes.join(' ')}`
    io.note(`${signer.algorithm} token of ${JSON.stringify(subject)} for ${opens}${may}, good for ${lifetime} s`)
    await io.out.write(`${minted}\n`)
    return 0
  },
} as const
