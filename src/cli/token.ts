import { readFileSync } from 'node:fs'
import { type Config, loadConfig } from '../config/config.ts'
import { errorChainText } from '../core/error-text.ts'
import { EventId } from '../core/message.ts'
import { type CliCommand, EXIT, type ParsedArgs, UsageError } from './command.ts'
import { requireNoPositionals } from './positionals.ts'
import { privateSigner, type SigningKey, secretSigner, signToken } from './token/signer.ts'

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 }
const LONGEST_SECONDS = 366 * 86_400
const SCOPES = ['publish', 'admin']

const lifetimeOf = (text: string): number => {
  const [, count, unit = 's'] = /^(\d{1,9})([smhd])?$/.exec(text) ?? []
  const seconds = Number(count) * UNITS[unit]!
  if (seconds >= 1 && seconds <= LONGEST_SECONDS) return seconds
  throw new UsageError(`--expires takes a time such as 15m or 8h, up to 366d, not ${JSON.stringify(text)}.`)
}

const eventsOf = (text: string): string[] | '*' => {
  if (text.trim() === '*') return '*'
  const events = text.split(',').map((id) => id.trim())
  const bad = events.find((id) => !EventId.safeParse(id).success)
  if (bad !== undefined) throw new UsageError(`--events: ${JSON.stringify(bad)} is no event id.`)
  return events
}

const scopesOf = (text: string): string[] => {
  const scopes = text.split(/[\s,]+/).filter((scope) => scope !== '')
  const bad = scopes.find((scope) => !SCOPES.includes(scope))
  if (bad !== undefined) throw new UsageError(`--scope takes ${SCOPES.join(' and ')}, not ${JSON.stringify(bad)}.`)
  return scopes
}

const privateKeyOf = (file: string): SigningKey => {
  let pem: string
  try {
    pem = readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`--key-file cannot be read: ${errorChainText(error)}`)
  }
  const signer = privateSigner(pem)
  if (signer !== null) return signer
  throw new UsageError('--key-file holds no RSA, P-256 or Ed25519 private key in PEM without a passphrase.')
}

const signerOf = (tokens: Config['tokens'], file: string | undefined): SigningKey => {
  if (file !== undefined) return privateKeyOf(file)
  if (tokens?.keys.kind === 'secret') return secretSigner(tokens.keys.secret)
  throw new UsageError(
    tokens === null
      ? 'There is nothing to sign with: set JWT_SECRET, or give --key-file.'
      : 'The gateway is set to a public key; the private one signs: give it by --key-file.',
  )
}

/** @returns the token, and a line that says what is in it. @throws UsageError, GatewayError config_invalid */
const createToken = async (given: ParsedArgs): Promise<{ token: string; says: string }> => {
  const subject = given.text('sub') ?? 'trial'
  const listed = given.text('events')
  const events = listed === undefined ? null : eventsOf(listed)
  const scopes = scopesOf(given.text('scope') ?? '')
  const lifetime = lifetimeOf(given.text('expires') ?? '1h')
  const { tokens } = loadConfig()
  const signer = signerOf(tokens, given.text('key-file'))
  const [issuer, audience] = [tokens?.issuer ?? null, tokens?.audience ?? null]
  const token = await signToken({ subject, events, scopes, lifetime, issuer, audience }, signer)
  const opens = events === null ? 'the events of JWT_DEFAULT_EVENTS' : events === '*' ? 'all events' : events.join(', ')
  const may = scopes.length === 0 ? '' : `, scope ${scopes.join(' ')}`
  const says = `${signer.algorithm} token of ${JSON.stringify(subject)} for ${opens}${may}, good for ${lifetime} s`
  return { token, says }
}

/** `token`: signs a token for testing that the gateway of this configuration accepts. */
export const token: CliCommand = {
  name: 'token',
  summary: 'sign a token for testing',
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
  run: async (given, io) => {
    requireNoPositionals(given)
    const { token, says } = await createToken(given)
    io.note(says)
    await io.out.write(`${token}\n`)
    return EXIT.ok
  },
}
