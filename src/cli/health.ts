import http from 'node:http'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import { type CliCommand, EXIT } from './command.ts'
import { ResponseError, readErrorBody, resolveGatewayUrl, URL_FLAG, unreachable } from './gateway-client.ts'
import { requireNoPositionals } from './positionals.ts'

/** Longer than a worker hangs in any commit, and shorter than what container engines wait. */
const TIMEOUT_MS = 4_000

/** `health`: for health checks of containers, which have no curl. */
export const health: CliCommand = {
  name: 'health',
  summary: 'check whether a gateway is ready',
  usage: ['[--live] [--url URL]'],
  about: `
Exit code 0 when it is, 1 when it is not; then what is missing stands on stderr. Without --live it asks whether the gateway
does its whole work (/readyz: broker, database), with it only whether the process answers (/livez), which is what decides
about a restart. Without --url it asks the gateway of this configuration on this machine, whoever its certificate is for.`,
  flags: { live: { meaning: 'only whether the process answers' }, url: URL_FLAG },
  examples: [
    ['deepsoc-gateway health', 'Does it do its whole work?'],
    ['deepsoc-gateway health --live', 'Does it answer? For the HEALTHCHECK of a container'],
  ],
  run: async (given, io) => {
    requireNoPositionals(given)
    const live = given.switch('live')
    const url = resolveGatewayUrl(given) + (live ? '/livez' : '/readyz')
    const answer = await ask(url, given.text('url') === undefined, io.signal)
    if (!answer.ok) throw new ResponseError(answer, await readErrorBody(answer), false)
    await io.out.write(live ? 'live\n' : 'ready\n')
    return EXIT.ok
  },
}

/**
 * GET by hand, since fetch cannot leave a certificate unchecked: a gateway that asks itself at a loopback address has one
 * for another name.
 *
 * @throws GatewayError gateway_unreachable
 */
const ask = async (url: string, own: boolean, signal: AbortSignal): Promise<Response> => {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
  const options = { signal: limit, agent: false as const }
  try {
    const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const request = url.startsWith('https:')
        ? https.get(url, { ...options, rejectUnauthorized: !own })
        : http.get(url, options)
      request.once('response', resolve).once('error', reject)
    })
    return new Response(await text(answer), { status: answer.statusCode ?? 502 })
  } catch (cause) {
    signal.throwIfAborted()
    throw unreachable(url, cause)
  }
}
