import http from 'node:http'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import { GatewayError } from '../core/errors.ts'
import type { ClusterReport } from '../monitoring/cluster-report.ts'
import { type CliCommand, EXIT, type ParsedArgs, UsageError } from './command.ts'
import { ResponseError, readErrorBody, resolveGatewayUrl, toUnreachableError, URL_FLAG } from './gateway-client.ts'
import { printCluster } from './health/cluster.ts'
import type { CommandIo } from './io.ts'
import { requireNoPositionals } from './positionals.ts'
import { openTokenSource, TOKEN_FILE_FLAG } from './token/source.ts'

/** Longer than any commit blocks a worker, and shorter than the health check timeout of container engines. */
const TIMEOUT_MS = 4_000
/** For people, who can wait. The report of a busy gateway takes longer than the answer whether it is ready. */
const CLUSTER_TIMEOUT_MS = 30_000

/** `health`: for health checks of containers without curl. */
export const health: CliCommand = {
  name: 'health',
  summary: 'check whether a gateway is ready, or its cluster safe (--cluster)',
  usage: ['[--live] [--url URL]', '--cluster [--url URL] [--token-file FILE]'],
  about: `
The exit code is 0 if it is, and 1 if it is not; then stderr lists what failed. Without --live the command checks
whether the gateway is ready (/readyz: broker, database), with --live only whether the process responds (/livez),
which decides about a restart. With --cluster it asks the gateway about all gateways that share its database, which
requires a token with the scope admin if tokens are required. The exit code is 0 if the cluster is safe now: one
primary, a synchronous standby, one active consumer, every gateway ready, clocks within seconds, compatible versions.
Each failed point is printed with what to do. Without --url it checks the gateway of this configuration on this machine, whatever
name its certificate has.`,
  flags: {
    live: { description: 'only check whether the process responds' },
    url: URL_FLAG,
    cluster: { description: 'check all gateways that share the database' },
    'token-file': TOKEN_FILE_FLAG,
  },
  examples: [
    ['deepsoc-gateway health', 'Check that the gateway is ready'],
    ['deepsoc-gateway health --live', 'Check that the process responds, for the HEALTHCHECK of a container'],
    [
      'deepsoc-gateway health --cluster',
      'Check that the cluster is safe, for example before the next host is upgraded',
    ],
  ],
  run: async (args, io) => {
    requireNoPositionals(args)
    const live = args.switch('live')
    if (args.switch('cluster')) {
      if (live) throw new UsageError('--cluster and --live exclude each other.')
      return runClusterCheck(args, io)
    }
    if (args.text('token-file') !== undefined) throw new UsageError('--token-file requires --cluster.')
    const url = resolveGatewayUrl(args) + (live ? '/livez' : '/readyz')
    const response = await fetchHealth(url, {
      isOwnGateway: isOwnGateway(args),
      signal: io.signal,
      token: null,
      timeoutMs: TIMEOUT_MS,
    })
    if (!response.ok) throw new ResponseError(response, await readErrorBody(response), false)
    await io.out.write(live ? 'live\n' : 'ready\n')
    return EXIT.ok
  },
}

const isOwnGateway = (args: ParsedArgs): boolean => args.text('url') === undefined

const runClusterCheck = async (args: ParsedArgs, io: CommandIo): Promise<number> => {
  // No samples of the last hour.
  const url = `${resolveGatewayUrl(args)}/api/health?samples_after=${Number.MAX_SAFE_INTEGER}`
  const token = await (await openTokenSource(args))()
  const response = await fetchHealth(url, {
    isOwnGateway: isOwnGateway(args),
    signal: io.signal,
    token,
    timeoutMs: CLUSTER_TIMEOUT_MS,
  })
  if (!response.ok) throw new ResponseError(response, await readErrorBody(response), false)
  const report = (await response.json().catch(() => null)) as { data?: { cluster?: ClusterReport } } | null
  const cluster = report?.data?.cluster
  if (cluster !== undefined) return printCluster(cluster, io)
  throw new GatewayError('unexpected_response', `${url} did not respond with a report of its cluster.`)
}

interface FetchOptions {
  readonly isOwnGateway: boolean
  readonly signal: AbortSignal
  readonly token: string | null
  readonly timeoutMs: number
}

/**
 * Sends a GET request without fetch, which cannot skip certificate checks. At its loopback address, a gateway has a
 * certificate for another name.
 *
 * @throws GatewayError gateway_unreachable
 */
const fetchHealth = async (
  url: string,
  { isOwnGateway: own, signal, token, timeoutMs }: FetchOptions,
): Promise<Response> => {
  const requestSignal = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const headers = token === null ? {} : { authorization: `Bearer ${token}` }
  const options = { signal: requestSignal, agent: false as const, headers }
  try {
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const request = url.startsWith('https:')
        ? https.get(url, { ...options, rejectUnauthorized: !own })
        : http.get(url, options)
      request.once('response', resolve).once('error', reject)
    })
    return new Response(await text(response), { status: response.statusCode ?? 502 })
  } catch (cause) {
    signal.throwIfAborted()
    throw toUnreachableError(url, cause)
  }
}
