import { readFile, stat } from 'node:fs/promises'
import { readGatewayToken } from '../../config/config.ts'
import { isBearerToken } from '../../config/parsers.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Flag, ParsedArgs } from '../command.ts'

export const TOKEN_FILE_FLAG: Flag = {
  value: 'FILE',
  description: 'file with the token, read again for each connection (default: GATEWAY_TOKEN)',
}

/**
 * Returns the current token, which may have been renewed since the last call; null if there is none.
 * Throws GatewayError config_invalid if the file cannot be read or does not contain a token.
 */
export type TokenSource = () => Promise<string | null>

export const noToken: TokenSource = async () => null

/** Returns the token source: --token-file if set, else the environment. @throws GatewayError config_invalid */
export const openTokenSource = async (args: ParsedArgs): Promise<TokenSource> => {
  const file = args.text('token-file')
  const read: TokenSource = file === undefined ? async () => readGatewayToken() : () => readTokenFile(file)
  const token = await read()
  // A pipe can be read only once.
  const fromPipe = file !== undefined && (await stat(file).catch(() => null))?.isFile() === false
  return fromPipe ? async () => token : read
}

const readTokenFile = async (file: string): Promise<string> => {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    // The value is not printed: it could be the token itself.
    throw invalidTokenFile(`--token-file cannot be read: ${error.code}.`)
  })
  const token = text.trim()
  if (isBearerToken(token)) return token
  throw invalidTokenFile(token === '' ? '--token-file is empty.' : '--token-file must contain exactly one token.')
}

const invalidTokenFile = (message: string): GatewayError =>
  new GatewayError('config_invalid', message, {
    hint: 'Use a file that contains only the token, such as one written by: deepsoc-gateway token > FILE',
  })
