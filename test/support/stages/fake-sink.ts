import type { StreamSink } from '../../../src/streams/subscriber.ts'

/** One event as it was written. */
export interface Written {
  readonly event: string
  readonly id: number | null
  readonly data: string
}

const FIELD = /^(id|event|data|retry): (.*)$/

/**
 * A reader's end of a stream. While it is `slow` a write stays in it until `take` is called; otherwise it is gone
 * after a turn of the event loop, as with a socket. Breaches of the Sink's rules are kept in `breaches`.
 */
export class FakeSink implements StreamSink {
  readonly events: Written[] = []
  readonly ids: number[] = []
  readonly retries: number[] = []
  readonly breaches: string[] = []
  /** The greatest number of bytes that one write had. */
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

  get pending(): boolean {
    return this.#outstanding !== null && this.slow
  }

  write(bytes: Buffer, done: () => void): void {
    if (this.#state !== 'open') this.breaches.push(`a write into a sink that is ${this.#state}`)
    if (this.#outstanding !== null) this.breaches.push('a write while another is under way')
    this.writes++
    this.largestWrite = Math.max(this.largestWrite, bytes.length)
    this.#parse(bytes)
    this.#outstanding = done
    if (!this.slow) setImmediate(() => this.#finish(done))
  }

  end(last: Buffer | null): void {
    if (this.#state !== 'open') this.breaches.push(`an end of a sink that is ${this.#state}`)
    if (last !== null) this.#parse(last)
    this.#state = 'ended'
  }

  destroy(): void {
    this.#state = 'gone'
  }

  /** The peer takes what was written. */
  take(): void {
    if (this.#outstanding !== null) this.#finish(this.#outstanding)
  }

  /** The peer takes a part of it. */
  takeSome(): void {
    this.progress++
  }

  /** The peer is gone: nothing that was written is ever reported as taken. */
  vanish(): void {
    this.#state = 'gone'
    this.#outstanding = null
  }

  #finish(done: () => void): void {
    if (this.#outstanding !== done || this.#state === 'gone') return
    this.#outstanding = null
    this.progress++
    done()
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
      if (fields.event === undefined) continue
      const id = fields.id === undefined ? null : Number(fields.id)
      const event = { event: fields.event, id, data: fields.data ?? '' }
      if (event.event === 'new_message') this.ids.push(id!)
      this.events.push(event.event === 'new_message' ? { ...event, data: '' } : event)
      this.onEvent(event)
    }
  }
}
