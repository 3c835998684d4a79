import type { UpstreamAddress } from '../upstream/core-client.ts'
import type { RawConfig } from './raw-config.ts'
import type { ConfigValues } from './variables.ts'

/** Refuses what an edge cannot have: its messages come from its core, and one process keeps its copy. */
export const validateUpstream = ({ values, sources, problems }: RawConfig): void => {
  if (!sources.has('UPSTREAM_URL')) {
    const names = (['UPSTREAM_TOKEN', 'UPSTREAM_EVENTS'] as const).filter((name) => sources.has(name))
    if (names.length > 0) problems.push(`${names.join(', ')} set without UPSTREAM_URL.`)
    return
  }
  const broker = (['RABBITMQ_URL', 'RABBITMQ_HOST'] as const).filter((name) => sources.has(name))
  if (broker.length > 0) {
    problems.push(
      `UPSTREAM_URL and ${broker.join(', ')} are set: an edge has no broker, its core has. Remove one of them.`,
    )
  }
  if ((values.DATABASE_URL?.postgres ?? null) !== null) {
    problems.push(
      'UPSTREAM_URL is set with a postgres:// DATABASE_URL: an edge keeps its copy in an SQLite file. Hosts that can reach PostgreSQL need no UPSTREAM_URL.',
    )
  }
  if (values.WORKERS !== undefined && values.WORKERS !== 1) {
    problems.push('UPSTREAM_URL is set with several WORKERS: an edge is one process. Start several edges instead.')
  }
}

/** @param readToken reads the token, which may be a renewed one. @returns null unless the gateway is an edge */
export const buildUpstream = (values: ConfigValues, readToken: () => string | null): UpstreamAddress | null =>
  values.UPSTREAM_URL === null ? null : { url: values.UPSTREAM_URL, events: values.UPSTREAM_EVENTS, token: readToken }
