import net from 'node:net'
import { WAIT_MS } from '../harness/limits.ts'

/** Observations of one short connection to a stream. */
export interface Visit {
  readonly events: readonly string[]
  /** The requested cursor; null if the server chose it. */
  readonly asked: number | null
  cursor: number
  /** last_db_id of hello. */
  target: number
  readonly ids: number[]
  /** Number of messages received before `caught_up`; null if it was not received. */
  caughtUpAfter: number | null
  /** Anything unexpected. */
  readonly oddities: string[]
}

export interface VisitOptions {
  readonly port: number
  readonly path: string
  readonly lastEventId?: number
  readonly events: readonly string[]
  readonly asked: number | null
  /** The client disconnects this many messages after caught_up, or this many milliseconds after it. */
  readonly liveMessages: number
  readonly liveMs: number
}

const ID = /^id: (\d+)\n/

/**
 * Opens a stream with minimal overhead, reads until caught_up and a little further, and disconnects. Never rejects:
 * errors are recorded as oddities.
 */
export const visit = (options: VisitOptions): Promise<Visit> =>
  new Promise((resolve) => {
    const { port, path, lastEventId, events, asked, liveMessages, liveMs } = options
    const seen: Visit = { events, asked, cursor: -1, target: -1, ids: [], caughtUpAfter: null, oddities: [] }
    const socket = net.connect(port, '127.0.0.1')
    const header = lastEventId === undefined ? '' : `Last-Event-ID: ${lastEventId}\r\n`
    socket.write(`GET ${path} HTTP/1.1\r\nHost: seam\r\n${header}\r\n`)
    let rest = ''
    let inBody = false
    let done = false
    const leave = (): void => {
      if (done) return
      done = true
      clearTimeout(timer)
      socket.destroy()
      resolve(seen)
    }
    let timer = setTimeout(() => {
      seen.oddities.push(`not caught up within ${WAIT_MS} ms`)
      leave()
    }, WAIT_MS)

    const take = (frame: string): void => {
      const id = ID.exec(frame)?.[1]
      if (frame.includes('event: new_message\n')) {
        seen.ids.push(Number(id))
        if (seen.caughtUpAfter !== null && seen.ids.length - seen.caughtUpAfter >= liveMessages) leave()
      } else if (frame.startsWith('event: caught_up\n')) {
        if (seen.caughtUpAfter !== null) seen.oddities.push('caught_up twice')
        seen.caughtUpAfter = seen.ids.length
        clearTimeout(timer)
        timer = setTimeout(leave, liveMs)
      } else if (frame.includes('event: hello\n')) {
        const { cursor, last_db_id } = JSON.parse(frame.slice(frame.indexOf('data: ') + 6)) as Record<string, number>
        seen.cursor = cursor!
        seen.target = last_db_id!
      } else if (!/^event: heartbeat\n/.test(frame)) seen.oddities.push(frame.slice(0, 200))
    }

    socket.setEncoding('utf8').on('data', (chunk: string) => {
      rest += chunk
      if (!inBody) {
        const end = rest.indexOf('\r\n\r\n')
        if (end < 0) return
        if (!rest.startsWith('HTTP/1.1 200 ')) seen.oddities.push(rest.slice(0, 200))
        inBody = true
        rest = rest.slice(end + 4)
      }
      let from = 0
      for (let at = rest.indexOf('\n\n'); at >= 0 && !done; at = rest.indexOf('\n\n', from)) {
        take(rest.slice(from, at))
        from = at + 2
      }
      rest = rest.slice(from)
    })
    socket.on('error', (error) => seen.oddities.push(String(error)))
    socket.on('close', () => {
      if (!done) seen.oddities.push('closed by the server')
      leave()
    })
  })
