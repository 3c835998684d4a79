import { readFileSync } from 'node:fs'
import { type Config, loadConfig } from '../config/config.ts'
import { errorChainText } from '../core/error-text.ts'
import { EventId } from '../core/message.ts'
import { type CliCommand, EXIT, type ParsedArgs, UsageError } from './command.ts'
import { requireNoPositionals } from './positionals.ts'
import { privateSigner, type SigningKey, secretSigner, signToken } from './token/signer.ts'

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 }
const MAX_SECONDS = 366 * 86_400
const SCOPES = ['publish', 'chat', 'admin', 'edge']

const parseLifetime = (text: string): number => {
  const [, count, unit = 's'] = /^(\d{1,9})([smhd])?$/.exec(text) ?? []
  const seconds = Number(count) * UNITS[unit]!
  if (seconds >= 1 && seconds <= MAX_SECONDS) return seconds
  throw new UsageError(`--expires takes a time such as 15m or 8h, up to 366d, not ${JSON.stringify(text)}.`)
}

const parseEvents = (text: string): string[] | '*' => {
  if (text.trim() === '*') return '*'
  const events = text.split(',').map((id) => id.trim())
  const invalid = events.find((id) => !EventId.safeParse(id).success)
  if (invalid !== undefined) throw new UsageError(`--events: ${JSON.stringify(invalid)} is not an event id.`)
  return events
}

const parseScopes = (text: string): string[] => {
  const scopes = text.split(/[\s,]+/).filter((scope) => scope !== '')
  const invalid = scopes.find((scope) => !SCOPES.includes(scope))
  if (invalid !== undefined)
    throw new UsageError(
      `--scope takes ${SCOPES.slice(0, -1).join(', ')} and ${SCOPES.at(-1)}, not ${JSON.stringify(invalid)}.`,
    )
  return scopes
}

const loadPrivateKey = (file: string): SigningKey => {
  let pem: string
  try {
    pem = readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`--key-file cannot be read: ${errorChainText(error)}`)
  }
  const signer = privateSigner(pem)
  if (signer !== null) return signer
  throw new UsageError('--key-file must be an RSA, P-256 or Ed25519 private key in PEM format without a passphrase.')
}

const selectSigner = (tokens: Config['tokens'], file: string | undefined): SigningKey => {
  if (file !== undefined) return loadPrivateKey(file)
  if (tokens?.keys.kind === 'secret') return secretSigner(tokens.keys.secret)
  throw new UsageError(
    tokens === null
      ? 'There is no key to sign with: set JWT_SECRET or use --key-file.'
      : 'The gateway has only public keys, which cannot sign: pass the private key with --key-file.',
  )
}

/** @returns the token and a one-line summary of its claims. @throws UsageError, GatewayError config_invalid */
const createToken = async (args: ParsedArgs): Promise<{ token: string; summary: string }> => {
  const subject = args.text('sub') ?? 'trial'
  const name = args.text('name') ?? null
  const eventsFlag = args.text('events')
  const events = eventsFlag === undefined ? null : parseEvents(eventsFlag)
  const scopes = parseScopes(args.text('scope') ?? '')
  const lifetime = parseLifetime(args.text('expires') ?? '1h')
  const { tokens } = loadConfig()
  const signer = selectSigner(tokens, args.text('key-file'))
  const [issuer, audience] = [tokens?.issuer ?? null, tokens?.audience ?? null]
  const token = await signToken({ subject, name, events, scopes, lifetime, issuer, audience }, signer)
  const eventsText =
    events === null ? 'the events of JWT_DEFAULT_EVENTS' : events === '*' ? 'all events' : events.join(', ')
  const scopesText = scopes.length === 0 ? '' : `, scope ${scopes.join(' ')}`
  const summary = `${signer.algorithm} token of ${JSON.stringify(subject)} for ${eventsText}${scopesText}, valid for ${lifetime} s`
  return { token, summary }
}

/** `token`: signs a test token that the gateway of this configuration accepts. */
export const token: CliCommand = {
  name: 'token',
  summary: 'sign a token for testing',
  usage: ['[flags]'],
  about: `Prints the token to stdout and a summary of its claims to stderr. The token is signed with JWT_SECRET or with a
private key.`,
  flags: {
    sub: { value: 'NAME', description: 'subject of the token (default: trial)' },
    name: { value: 'TEXT', description: 'display name of a person (claim name)' },
    events: { value: 'LIST', description: 'allowed events, comma-separated, or * (default: JWT_DEFAULT_EVENTS)' },
    scope: { value: 'LIST', description: 'publish, chat, admin, edge, comma-separated (default: JWT_DEFAULT_SCOPE)' },
    expires: { value: 'TIME', description: 'lifetime: 90s, 15m, 8h, 7d (default: 1h)' },
    'key-file': { value: 'FILE', description: 'private key (PEM), if the gateway uses JWT_PUBLIC_KEY or JWT_JWKS_URL' },
  },
  examples: [
    ['deepsoc-gateway token --events demo --scope publish', 'A token to read one event and publish to it'],
    [
      'deepsoc-gateway token --sub ann --name "Ann Lee" --events "*" --scope chat',
      'A token of a person who reads and writes',
    ],
    ['deepsoc-gateway token --sub ops --scope admin --expires 15m', 'A token to read /metrics and revoke tokens'],
  ],
  run: async (args, io) => {
    requireNoPositionals(args)
    const { token, summary } = await createToken(args)
    io.note(summary)
    await io.out.write(`${token}\n`)
    return EXIT.ok
  },
}
