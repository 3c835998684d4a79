import http from 'node:http'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import { type CliCommand, EXIT } from './command.ts'
import { ResponseError, readErrorBody, resolveGatewayUrl, toUnreachableError, URL_FLAG } from './gateway-client.ts'
import { requireNoPositionals } from './positionals.ts'

/** Longer than any commit blocks a worker, and shorter than the health check timeout of container engines. */
const TIMEOUT_MS = 4_000

/** `health`: for health checks of containers without curl. */
export const health: CliCommand = {
  name: 'health',
  summary: 'check whether a gateway is ready',
  usage: ['[--live] [--url URL]'],
  about: `
The exit code is 0 if it is, and 1 if it is not; then stderr lists what failed. Without --live the command checks
whether the gateway is ready (/readyz: broker, database), with --live only whether the process responds (/livez),
which decides about a restart. Without --url it checks the gateway of this configuration on this machine, whatever
name its certificate has.`,
  flags: { live: { description: 'only check whether the process responds' }, url: URL_FLAG },
  examples: [
    ['deepsoc-gateway health', 'Check that the gateway is ready'],
    ['deepsoc-gateway health --live', 'Check that the process responds, for the HEALTHCHECK of a container'],
  ],
  run: async (args, io) => {
    requireNoPositionals(args)
    const live = args.switch('live')
    const url = resolveGatewayUrl(args) + (live ? '/livez' : '/readyz')
    const response = await fetchHealth(url, args.text('url') === undefined, io.signal)
    if (!response.ok) throw new ResponseError(response, await readErrorBody(response), false)
    await io.out.write(live ? 'live\n' : 'ready\n')
    return EXIT.ok
  },
}

/**
 * Sends a GET request without fetch, which cannot skip certificate checks. At its loopback address, a gateway has a
 * certificate for another name.
 *
 * @throws GatewayError gateway_unreachable
 */
const fetchHealth = async (url: string, isOwnGateway: boolean, signal: AbortSignal): Promise<Response> => {
  const requestSignal = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
  const options = { signal: requestSignal, agent: false as const }
  try {
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const request = url.startsWith('https:')
        ? https.get(url, { ...options, rejectUnauthorized: !isOwnGateway })
        : http.get(url, options)
      request.once('response', resolve).once('error', reject)
    })
    return new Response(await text(response), { status: response.statusCode ?? 502 })
  } catch (cause) {
    signal.throwIfAborted()
    throw toUnreachableError(url, cause)
  }
}
