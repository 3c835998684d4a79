import type { StreamSink } from '../../../src/streams/subscriber.ts'

/** One event as written; `message` if it has no name. */
export interface Written {
  readonly event: string
  readonly id: number | null
  readonly data: string
}

const FIELD = /^(id|event|data|retry): (.*)$/

/**
 * The client's end of a stream. While it is `slow`, a write stays pending until `take` is called; otherwise it
 * is complete at once, like most on a socket. Violations of the sink's rules are recorded in `breaches`.
 */
export class FakeSink implements StreamSink {
  readonly events: Written[] = []
  readonly ids: number[] = []
  readonly retries: number[] = []
  readonly breaches: string[] = []
  /** Largest number of bytes in one write. */
  largestWrite = 0
  writes = 0
  progress = 0
  slow: boolean
  /** Called with each event as it is written. */
  onEvent: (event: Written) => void = () => {}
  #outstanding: (() => void) | null = null
  #state: 'open' | 'ended' | 'gone' = 'open'

  constructor({ slow = false } = {}) {
    this.slow = slow
  }

  get state(): 'open' | 'ended' | 'gone' {
    return this.#state
  }

  write(bytes: Buffer, done: () => void): boolean {
    if (this.#state !== 'open') this.breaches.push(`a write into a sink that is ${this.#state}`)
    if (this.#outstanding !== null) this.breaches.push('a write while another is under way')
    this.writes++
    this.largestWrite = Math.max(this.largestWrite, bytes.length)
    this.#parse(bytes)
    if (!this.slow) this.progress++
    else this.#outstanding = done
    return !this.slow
  }

  end(last: Buffer): void {
    if (this.#state !== 'open') this.breaches.push(`an end of a sink that is ${this.#state}`)
    this.#parse(last)
    this.#state = 'ended'
  }

  destroy(): void {
    this.#state = 'gone'
  }

  /** The peer reads what was written. */
  take(): void {
    const done = this.#outstanding
    if (done === null || this.#state === 'gone') return
    this.#outstanding = null
    this.progress++
    done()
  }

  /** The peer reads a part of it. */
  takeSome(): void {
    this.progress++
  }

  /** The peer is gone: no write is ever reported as complete. */
  vanish(): void {
    this.#state = 'gone'
    this.#outstanding = null
  }

  #parse(bytes: Buffer): void {
    const text = bytes.toString('utf8')
    if (!text.endsWith('\n\n')) this.breaches.push('a write that ends within a frame')
    for (const frame of text.slice(0, -2).split('\n\n')) {
      const fields: Record<string, string> = {}
      for (const line of frame.split('\n')) {
        const [, name, value] = FIELD.exec(line) ?? []
        if (name === undefined || fields[name] !== undefined) this.breaches.push(`an odd line: ${line.slice(0, 80)}`)
        else fields[name] = value!
      }
      if (fields.retry !== undefined) this.retries.push(Number(fields.retry))
      // Some clients deliver such a block as an empty message.
      if (fields.data === undefined) this.breaches.push(`a block without data: ${frame.slice(0, 80)}`)
      const id = fields.id === undefined ? null : Number(fields.id)
      const event = { event: fields.event ?? 'message', id, data: fields.data ?? '' }
      const isMessage = event.event === 'new_message' || event.event === 'message'
      if (isMessage) this.ids.push(id!)
      this.events.push(isMessage ? { ...event, data: '' } : event)
      this.onEvent(event)
    }
  }
}
