import { openSse, type SseStream } from '../clients/sse.ts'
import { bearer, sign } from '../clients/tokens.ts'
import { getJson, postJson, until } from '../harness/wait.ts'
import type { Gateway } from '../servers/gateway.ts'
import { streamUrl } from '../stages/stage.ts'
import type { Cluster } from './cluster.ts'

/** MAX_STREAMS_PER_TOKEN of the gateways of a trial. */
export const STREAMS_PER_TOKEN = 4

const holds = (is: unknown, wanted: unknown, what: string): void => {
  if (is !== wanted) throw new Error(`${what}: ${is}, not ${wanted}`)
}

/** A ticket of one host opens one stream on another one, and no further stream on any. */
const checkTicket = async (gateways: readonly Gateway[], token: string, from: number): Promise<void> => {
  const at = (index: number): Gateway => gateways[(from + index) % gateways.length]!
  const made = await postJson(`${at(0).url}/api/stream-tickets`, '', { headers: bearer(token) })
  const { ticket } = made.body.data
  const stream = await openSse(`${streamUrl(at(1), 'access')}?ticket=${ticket}`)
  holds(stream.status, 200, 'a ticket on another host')
  for (const index of gateways.keys()) {
    const { status, body } = await getJson(`${streamUrl(at(index), 'access')}?ticket=${ticket}`)
    holds(`${status} ${body.code}`, '401 ticket_invalid', 'a ticket that is used up')
  }
  stream.close()
}

/** A revocation on one host ends streams and refuses requests on every host. */
const checkRevocation = async ({ gateways, headers: admin }: Cluster, sub: string, from: number): Promise<void> => {
  const headers = bearer(await sign({ sub, events: '*' }))
  const streams: SseStream[] = []
  for (const gateway of gateways) streams.push(await openSse(streamUrl(gateway, 'access'), { headers }))
  for (const { status } of streams) holds(status, 200, 'a token before its revocation')
  const at = `${gateways[from % gateways.length]!.url}/api/revocations`
  const revoked = await postJson(at, { sub }, { headers: admin })
  holds(revoked.status, 201, 'a revocation')
  for (const [index, gateway] of gateways.entries()) {
    const isRefused = async () => (await getJson(`${gateway.url}/api/events`, { headers })).status === 401
    await until(isRefused, { what: `gateway ${index + 1} refuses a revoked token` })
    await streams[index]!.closed
  }
}

/** Each host has its own limit of streams of a token. */
const checkLimit = async (gateways: readonly Gateway[], sub: string): Promise<void> => {
  const headers = bearer(await sign({ sub, events: '*' }))
  for (const gateway of gateways) {
    const streams: SseStream[] = []
    for (let n = 0; n <= STREAMS_PER_TOKEN; n++) streams.push(await openSse(streamUrl(gateway, 'access'), { headers }))
    const statuses = streams.map(({ status }) => status)
    for (const stream of streams) stream.close()
    holds(statuses.join(' '), [...Array(STREAMS_PER_TOKEN).fill(200), 429].join(' '), 'streams of one token')
  }
}

/**
 * Checks that tickets, revocations and limits hold on every host.
 * @param round makes the subjects of the tokens unique
 * @throws Error that names what does not hold
 */
export const checkAccess = async (cluster: Cluster, round: number): Promise<void> => {
  const { gateways } = cluster
  await checkTicket(gateways, await sign({ sub: `ticket-${round}`, events: '*' }), round)
  await checkRevocation(cluster, `revoked-${round}`, round)
  await checkLimit(gateways, `limited-${round}`)
}
