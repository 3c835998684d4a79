import { Reader, type ReaderOptions } from '../clients/sse.ts'
import type { Gateway } from '../servers/gateway.ts'
import type { ReaderOutcome } from './oracle.ts'

/** A client of a soak: which events it follows, and from where. */
export class SoakReader extends Reader {
  readonly name: string
  readonly events: readonly string[] | null
  readonly cursor: number

  /** @param events null for all */
  constructor(
    gateway: Pick<Gateway, 'url'>,
    name: string,
    events: readonly string[] | null,
    cursor = 0,
    options: ReaderOptions = {},
  ) {
    const selected = events === null ? 'event_id=*' : events.map((event) => `event_id=${event}`).join('&')
    super(() => `${gateway.url}/api/stream?${selected}&last_message_db_id=${cursor}`, {
      retryMs: 200,
      obeysRetry: false,
      ...options,
    })
    this.name = name
    this.events = events
    this.cursor = cursor
  }

  get outcome(): ReaderOutcome {
    const { name, events, cursor, ids, counts, failed } = this
    return { name, events, cursor, ids, resets: counts.reset ?? 0, failed }
  }
}
