import { readFile, stat } from 'node:fs/promises'
import { readGatewayToken } from '../../config/config.ts'
import { isBearerToken } from '../../config/parsers.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Flag, ParsedArgs } from '../command.ts'

export const TOKEN_FILE_FLAG: Flag = {
  value: 'FILE',
  meaning: 'file with the token to send, read again at each connection; default: GATEWAY_TOKEN',
}

/**
 * Tells the token to show, as it is now: it may have been renewed since. null: none.
 * Throws GatewayError config_invalid while its file cannot be read or holds no token.
 */
export type TokenSource = () => Promise<string | null>

export const noToken: TokenSource = async () => null

/** The source that a call names: its --token-file, else the environment. @throws GatewayError config_invalid */
export const openTokenSource = async (given: ParsedArgs): Promise<TokenSource> => {
  const file = given.text('token-file')
  const read: TokenSource = file === undefined ? async () => readGatewayToken() : () => tokenIn(file)
  const token = await read()
  // What a pipe holds can be read once.
  const fromPipe = file !== undefined && (await stat(file).catch(() => null))?.isFile() === false
  return fromPipe ? async () => token : read
}

const tokenIn = async (file: string): Promise<string> => {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    // Not what it was called with: somebody may have given the token itself.
    throw unusable(`--token-file cannot be read: ${error.code}.`)
  })
  const token = text.trim()
  if (isBearerToken(token)) return token
  throw unusable(token === '' ? '--token-file is empty.' : '--token-file holds something else than one token.')
}

const unusable = (message: string): GatewayError =>
  new GatewayError('config_invalid', message, {
    hint: 'Name a file that holds the token and nothing else, such as: deepsoc-gateway token > FILE',
  })
